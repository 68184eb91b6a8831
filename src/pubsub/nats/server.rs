//! One server of a list.

use url::{Host, Url};

use crate::client::user_information;

/// Where a server listens if its URL does not say.
const PORT: u16 = 4222;

/// What its URL says.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) host: Host<String>,
    pub(super) port: u16,
    pub(super) is_tls: bool,
    pub(super) login: Option<Login>,
}

/// What a client shows.
#[derive(Clone)]
pub(super) enum Login {
    User { user: String, password: String },
    Token(String),
}

impl Server {
    /// `None` for what is no such URL; not why, for it may have a password in it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_odd = |character: char| character.is_control() || character.is_whitespace();
        if text.contains(is_odd) || text.contains(['\\', '#', '?']) {
            return None;
        }
        let url = match text.contains("://") {
            true => Url::parse(text),
            false => Url::parse(&format!("nats://{text}")),
        };
        let url = url.ok().filter(|url| matches!(url.path(), "" | "/"))?;
        let is_tls = match url.scheme() {
            "nats" => false,
            "tls" => true,
            _ => return None,
        };
        // Only web schemes have their hosts in the normal form already.
        let host = url.host_str().filter(|host| !host.is_empty())?;
        let host = Host::parse(host).ok()?;
        let login = user_information(&url).ok()?.map(|(user, password)| match url.password() {
            Some(_) => Login::User { user, password },
            None => Login::Token(user),
        });
        Some(Self { host, port: url.port().unwrap_or(PORT), is_tls, login })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Option<String> {
        let Server { host, port, is_tls, login } = Server::parse(text)?;
        let login = match login {
            Some(Login::User { user, password }) => format!(" user {user} {password}"),
            Some(Login::Token(token)) => format!(" token {token}"),
            None => String::new(),
        };
        Some(format!("{host}:{port}{}{login}", if is_tls { " tls" } else { "" }))
    }

    #[test]
    fn urls_of_servers() {
        for (text, expected) in [
            ("nats://a", "a:4222"),
            ("a", "a:4222"),
            ("a:1", "a:1"),
            ("nats://127.0.0.1:4223/", "127.0.0.1:4223"),
            ("TLS://Example.COM:1", "example.com:1 tls"),
            ("nats://[::1]:1", "[::1]:1"),
            ("nats://us%40er:pa%2Css+@a", "a:4222 user us@er pa,ss+"),
            (":pass@a", "a:4222 user  pass"),
            ("tls://s3cret@a", "a:4222 tls token s3cret"),
        ] {
            assert_eq!(parsed(text).as_deref(), Some(expected), "{text}");
        }
        for wrong in [
            "",
            "nats://",
            "nats://:1",
            "ws://a",
            "http://a",
            "nats://a:x",
            "nats://a:65536",
            "nats://a/b",
            "nats://a?b",
            "nats://a#b",
            "nats://a b",
            "nats://[::1",
            "nats://us%0ter:x@a",
            "nats://us%0aer:x@a",
            "nats:a",
        ] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_texts_never_panic(text in "\\PC*|(nats|tls)://[a-z0-9:@%\\[\\]./]{0,20}") {
            parsed(&text);
        }
    }
}
