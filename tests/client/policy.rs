//! Which connections a client may make.

use sockeye::client::{Denied, Policy};
use sockeye::{Error, ErrorKind};
use tokio::time::Instant;

use crate::support::client::Net;

/// Nothing was looked up and nothing dialled, and the error says so: not allowed, not to be tried again.
#[track_caller]
fn assert_denied(error: &Error, why: Denied) {
    assert!(matches!(error, Error::Denied(denied) if *denied == why), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(error.kind().as_str(), "permission_denied");
    assert!(!error.retryable());
}

/// CE-01, CE-03: connections disabled altogether.
#[tokio::test]
async fn ce_03_connections_are_disabled() {
    let net = Net::lawful();
    let connector = net.connector().policy(Policy::disabled());
    for url in ["ws://9.9.9.9/", "ws+unix:///run/a.sock", "ws://a.test/"] {
        assert_denied(&connector.connect(url).await.unwrap_err(), Denied::Disabled);
    }
    assert!(net.dialled().is_empty() && net.resolved().is_empty() && net.sockets().is_empty());
}

/// CE-02, CE-04: a URL that is not allowed, by each of its parts.
#[tokio::test]
async fn ce_04_a_url_is_not_allowed() {
    let net = Net::lawful().name("api.test", &["9.9.9.9"]).name("admin.api.test", &["9.9.9.9"]);
    let policy = Policy::allow_all()
        .allow("ws://api.test/v1/*")
        .and_then(|policy| policy.allow("ws://*.api.test:*"))
        .and_then(|policy| policy.deny("ws://admin.api.test:*"))
        .unwrap();
    let connector = net.connector().policy(policy.clone());
    connector.connect("ws://api.test/v1/x").await.unwrap();
    let before = net.dialled().len();
    for url in [
        "ws://api.test/v2?secret=1",
        "ws://api.test/v1/%2e%2e/v2",
        "ws://api.test:81/v1/x",
        "wss://api.test/v1/x",
        "ws://admin.api.test:9/",
        "ws://ADMIN.api.test./",
        "ws://other.test/v1/x",
        "ws+unix:///run/a.sock",
    ] {
        let error = connector.connect(url).await.unwrap_err();
        assert_denied(&error, Denied::Url);
        assert!(!format!("{error} {error:?}").contains("secret"));
        assert_denied(&policy.check(url).unwrap_err(), Denied::Url);
    }
    assert_eq!(net.dialled().len(), before);
}

/// BY-51: the address counts, however it is written and whatever name leads to it.
#[tokio::test]
async fn by_51_addresses_are_judged() {
    let net = Net::lawful()
        .name("here.test", &["127.0.0.1"])
        .name("meta.test", &["169.254.169.254", "fd00:ec2::254"])
        .name("mapped.test", &["::ffff:10.0.0.1"])
        .name("nat64.test", &["64:ff9b::a00:1"])
        .name("6to4.test", &["2002:a00:1::"]);
    let connector = net.connector().policy(Policy::public_only());
    for url in [
        "ws://127.0.0.1/",
        "ws://0x7f.1/",
        "ws://017700000001/",
        "ws://2130706433/",
        "ws://[::1]/",
        "ws://[::ffff:127.0.0.1]/",
        "ws://[64:ff9b::7f00:1]/",
        "ws://10.1.2.3/",
        "ws://169.254.169.254/latest",
        "ws://100.100.100.200/",
        "ws://here.test/",
        "ws://meta.test/",
        "ws://mapped.test/",
        "ws://nat64.test/",
        "ws://6to4.test/",
        "ws+unix:///run/docker.sock",
    ] {
        assert_denied(&connector.connect(url).await.unwrap_err(), Denied::Address);
    }
    assert!(net.dialled().is_empty() && net.sockets().is_empty());
    connector.connect("ws://9.9.9.9/").await.unwrap();
    // Not denied, only unknown.
    assert!(connector.connect("ws://unknown.test/").await.unwrap_err().retryable());
}

/// BY-51: of a name that leads here and there, only there is dialled.
#[tokio::test(start_paused = true)]
async fn by_51_only_what_was_judged_is_dialled() {
    let net = Net::lawful().name("both.test", &["127.0.0.1", "9.9.9.9", "::1"]);
    let connector = net.connector().policy(Policy::public_only());
    let start = Instant::now();
    connector.connect("ws://both.test/").await.unwrap();
    assert_eq!(net.dialled(), ["0 9.9.9.9:80"]);
    assert_eq!(net.resolved().len(), 1, "looked up once, so that it cannot lead elsewhere");
    assert_eq!(start.elapsed().as_millis(), 0);
}

/// BY-51: networks of one's own choice, and a Unix socket that was named.
#[tokio::test]
async fn by_51_networks_and_sockets_may_be_named() {
    let net = Net::lawful();
    let policy = Policy::public_only().allow_network("10.1.0.0/16").unwrap();
    let policy = policy.deny_network("10.1.2.0/24").unwrap().deny_network("8.8.8.8").unwrap();
    let connector = net.connector().policy(policy);
    for url in ["ws://10.1.0.1/", "ws://[::ffff:10.1.0.1]/", "ws://8.8.4.4/"] {
        assert!(connector.connect(url).await.is_ok(), "{url}");
    }
    for url in ["ws://10.2.0.1/", "ws://10.1.2.3/", "ws://8.8.8.8/", "ws://[64:ff9b::808:808]/"] {
        assert_denied(&connector.connect(url).await.unwrap_err(), Denied::Address);
    }
    let policy = Policy::public_only().allow("ws+unix:///run/app/*").unwrap();
    let connector = net.connector().policy(policy);
    connector.connect("ws+unix:///run/app/a.sock").await.unwrap();
    for url in ["ws+unix:///run/docker.sock", "ws+unix:///run/app/../docker.sock"] {
        assert!(connector.connect(url).await.is_err(), "{url}");
    }
    assert_eq!(net.sockets().len(), 1);
}

/// CE-02: what is no pattern or no network is an error where it is given.
#[test]
fn ce_02_mistakes_in_a_policy() {
    let mistakes = [
        Policy::allow_all().allow("example.com"),
        Policy::allow_all().deny("http://example.com"),
        Policy::allow_all().allow_network("10.0.0.1/8"),
        Policy::allow_all().deny_network("localhost"),
    ];
    for mistake in mistakes {
        let error = Error::from(mistake.unwrap_err());
        assert_eq!((error.kind(), error.retryable()), (ErrorKind::Invalid, false));
    }
}
