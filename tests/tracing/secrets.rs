//! What nobody hears.

use std::time::{Duration, SystemTime};

use http::{HeaderName, HeaderValue, header};
use serde_json::{Value, json};
use sockeye::app::{App, Context};
use sockeye::auth::{CredentialSources, Identity, JwtSigner, RoomAuth, Secret, authenticate_fn};
use sockeye::testing::TestServer;

use super::heard::Heard;

const KEY: [u8; 32] = *b"a secret that is 32 bytes long !";

/// What must not be heard.
const MARK: &str = "s3cr3t";

fn token(user: &str) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"sub": user, "exp": now + 600, "note": MARK});
    JwtSigner::new(Secret::new(KEY).unwrap()).sign(&claims).unwrap()
}

async fn echo(_: Context, payload: Value) -> Value {
    payload
}

/// TR-06: tokens, passwords, queries, headers, payloads, reasons and session tokens pass through; the user is heard, and none
/// of them in any field.
#[tokio::test(start_paused = true)]
async fn no_secret_is_heard() {
    let (heard, _guard) = Heard::listen();
    let auth = RoomAuth::new(Secret::new(KEY).unwrap());
    auth.passwords().set("lobby", "s3cr3t password").unwrap();
    let app = App::new().path("/ws").on("echo", echo).authenticator(auth);
    let server =
        TestServer::app(app.credential_sources(CredentialSources::new().allow_query())).await;
    let token = token("ann");

    // Let in, with all that may be secret.
    let hidden = |text: &str| HeaderValue::from_str(text).unwrap();
    let target = format!("/ws?token={token}&room=lobby&room_password=s3cr3t%20password&x=s3cr3t");
    let opening = server.open(&target);
    let opening = opening
        .header(header::COOKIE, hidden("id=s3cr3t"))
        .header(HeaderName::from_static("x-api-key"), hidden(MARK))
        .header(HeaderName::from_static("tracestate"), hidden("a=s3cr3t"))
        .header(
            HeaderName::from_static("traceparent"),
            hidden("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        );
    let mut client = opening.connect().await;
    let created = client.expect_session().await;
    let payload = json!({"text": MARK});
    assert_eq!(client.request("echo", &payload).await, payload);
    client.send_text("s3cr3t and no JSON").await;
    client.close(1000, "s3cr3t reason").await;

    // Refused, with a token that is wrong, and with a wrong password.
    server.open("/ws").token(&format!("{token}s3cr3t")).expect_refusal(401).await;
    let wrong = format!("/ws?token={token}&room=lobby&room_password=s3cr3t");
    server.open(&wrong).expect_refusal(403).await;
    server.open("/ws").origin("https://s3cr3t.example").expect_refusal(403).await;
    // A session that is asked for with a token.
    let mut thief = server.open(&format!("{target}&resume=1")).connect().await;
    let stolen = json!({"sessionId": MARK, "token": created["token"], "received": 0});
    thief.send_event("sys.reconnect.request", &stolen).await;
    thief.next_json().await;
    // A frame that breaks the rules.
    thief.send_binary(MARK.as_bytes().to_vec()).await;
    drop(thief);
    tokio::time::sleep(Duration::from_secs(300)).await;

    let all = heard.all();
    let signature = token.rsplit('.').next().unwrap();
    for secret in [MARK, signature, created["token"].as_str().unwrap()] {
        assert!(!all.contains(secret), "{secret} was heard: {all}");
    }
    assert!(
        heard
            .spans()
            .iter()
            .any(|(_, fields)| fields.get("user").is_some_and(|user| user == "ann"))
    );
    assert!(heard.events().len() > 10 && all.contains("\"path\": \"/ws\""), "{all}");
}

/// TR-06: of a long path no more is told than of any other, whatever character stands where it is cut; nor of a long name.
#[tokio::test(start_paused = true)]
async fn attack_a_path_that_cannot_be_cut_at_a_byte() {
    let (heard, _guard) = Heard::listen();
    let long = format!("/{}\u{00e9}{}", "a".repeat(254), "b".repeat(5000));
    for target in [long.replace('\u{00e9}', "a"), long] {
        let request = http::Request::get(target)
            .header(header::HOST, "localhost")
            .header(header::UPGRADE, "websocket")
            .header(header::CONNECTION, "upgrade")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
            .body(())
            .unwrap();
        let upgrading = sockeye::Acceptor::default().upgrade(&request, None).await.unwrap();
        assert_eq!(upgrading.response().status(), 101);
    }
    let lens: Vec<_> = heard.spans().iter().map(|(_, fields)| fields["path"].len()).collect();
    assert_eq!(lens, [256, 255]);
    let long = authenticate_fn(async |_| Ok(Identity::new("\u{00e9}".repeat(1000))));
    let server = TestServer::app(App::new().path("/ws").authenticator(long)).await;
    server.open("/ws").connect().await.expect_session().await;
    let users: Vec<_> =
        heard.spans().into_iter().filter_map(|(_, mut fields)| fields.remove("user")).collect();
    assert_eq!(users, ["\u{00e9}".repeat(128)]);
}
