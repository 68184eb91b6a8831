//! Where a client connects to.

use crate::client::Connector;
use crate::error::Error;

/// The servers of one application, one of which is the one to be asked.
#[derive(Debug)]
pub(super) struct Servers {
    /// Never empty.
    urls: Vec<Urls>,
    /// Less than there are.
    at: usize,
}

#[derive(Debug)]
struct Urls {
    new: String,
    resume: String,
}

impl Servers {
    /// It begins with the first.
    pub(super) fn new(first: &str, others: &[String]) -> Self {
        let all = std::iter::once(first).chain(others.iter().map(String::as_str));
        let urls = all.map(|url| Urls { new: url.to_owned(), resume: resume_url(url) });
        Self { urls: urls.collect(), at: 0 }
    }

    /// Whether all of them are URLs.
    pub(super) fn check(&self, connector: &Connector) -> Result<(), Error> {
        for url in self.urls.iter().flat_map(|urls| [&urls.new, &urls.resume]) {
            drop(connector.reconnecting(url)?);
        }
        Ok(())
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.urls.len()).unwrap_or(u32::MAX)
    }

    /// For a new session, or to go on with one.
    pub(super) fn url(&self, is_resuming: bool) -> &str {
        let Urls { new, resume } = &self.urls[self.at];
        if is_resuming { resume } else { new }
    }

    pub(super) fn turn_to_next(&mut self) {
        self.at = (self.at + 1) % self.urls.len();
    }
}

/// The URL of who comes back: with one more parameter.
fn resume_url(url: &str) -> String {
    // The path of a Unix socket ends with a colon, and what is asked for stands behind it.
    let socket = url.split_once(':').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("ws+unix"));
    let before = match (socket, url.contains('?')) {
        (Some((_, path)), false) if !path.contains(':') => ":/?",
        (_, false) => "?",
        (_, true) => "&",
    };
    format!("{url}{before}resume=1")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BY-30: the query says that a client comes back, whatever the URL had before.
    #[test]
    fn by_30_the_query_says_resume() {
        for (url, expected) in [
            ("ws://a", "ws://a?resume=1"),
            ("ws://a/b?c=d", "ws://a/b?c=d&resume=1"),
            ("ws+unix:///run/a.sock", "ws+unix:///run/a.sock:/?resume=1"),
            ("ws+unix:///run/a.sock:/b", "ws+unix:///run/a.sock:/b?resume=1"),
        ] {
            assert_eq!(resume_url(url), expected);
        }
    }
}
