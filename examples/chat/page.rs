//! The page with its script and its style, each served on its own so that the policy can forbid
//! everything inline.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use sockeye::Answer;

const PAGE: &str = include_str!("index.html");

/// Nothing runs, loads or connects but what is from here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SECURITY_HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-cache"),
];

pub(crate) struct Page {
    html: Bytes,
    script: Bytes,
    style: Bytes,
}

impl Page {
    /// Takes the page apart.
    ///
    /// # Panics
    /// When the page has no `<style>` or no `<script>`; it is part of the program.
    pub(crate) fn new() -> Self {
        let (html, style) = cut(PAGE, "style", r#"<link rel="stylesheet" href="/chat.css">"#);
        let (html, script) = cut(&html, "script", r#"<script src="/chat.js"></script>"#);
        Self { html: html.into(), script: script.into(), style: style.into() }
    }

    pub(crate) fn answer(&self, path: &str) -> Answer {
        let (content_type, body) = match path {
            "/" => ("text/html; charset=utf-8", &self.html),
            "/chat.js" => ("text/javascript; charset=utf-8", &self.script),
            "/chat.css" => ("text/css; charset=utf-8", &self.style),
            _ => return Answer::refuse(StatusCode::NOT_FOUND, "not found\n"),
        };
        let answer = Answer::respond(StatusCode::OK, content_type, body.clone());
        SECURITY_HEADERS.into_iter().fold(answer, |answer, (name, value)| {
            answer.header(name, HeaderValue::from_static(value))
        })
    }
}

/// The page with something else in the place of its first element of this name, and what was in that.
fn cut(page: &str, name: &str, instead: &str) -> (String, String) {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let (before, rest) = page.split_once(&open).expect("the page has it");
    let (content, after) = rest.split_once(&close).expect("it ends");
    (format!("{before}{instead}{after}"), content.to_owned())
}
