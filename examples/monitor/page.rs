//! The page with its script and its style, each served on its own so that the policy can forbid
//! everything inline. There is nothing of the server in them: they are for everybody.

use sockeye::Answer;
use sockeye::http::{HeaderName, HeaderValue, StatusCode, header};

/// Nothing runs, loads or connects but what is from here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SECURITY_HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-cache"),
];

pub(crate) fn answer(path: &str) -> Answer {
    let (content_type, body) = match path {
        "/" => ("text/html; charset=utf-8", include_str!("index.html")),
        "/monitor.js" => ("text/javascript; charset=utf-8", include_str!("monitor.js")),
        "/base.css" => ("text/css; charset=utf-8", include_str!("../support/base.css")),
        "/monitor.css" => ("text/css; charset=utf-8", include_str!("monitor.css")),
        _ => return Answer::refuse(StatusCode::NOT_FOUND, "not found\n"),
    };
    let answer = Answer::respond(StatusCode::OK, content_type, body);
    SECURITY_HEADERS
        .into_iter()
        .fold(answer, |answer, (name, value)| answer.header(name, HeaderValue::from_static(value)))
}
