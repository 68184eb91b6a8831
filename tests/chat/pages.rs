//! What is on the chat's port beside the WebSocket.

use super::program::Chat;

/// SV-11, EX-02: the page, its scripts and its styles come from the WebSocket's port, under a policy
/// that forbids whatever is not from there.
#[tokio::test]
async fn the_page_is_served_with_a_strict_policy() {
    let chat = Chat::start();
    let types = [
        ("/", "text/html; charset=utf-8"),
        ("/?room=lobby", "text/html; charset=utf-8"),
        ("/chat.js", "text/javascript; charset=utf-8"),
        ("/site.js", "text/javascript; charset=utf-8"),
        ("/network.js", "text/javascript; charset=utf-8"),
        ("/sockeye.js", "text/javascript; charset=utf-8"),
        ("/chat.css", "text/css; charset=utf-8"),
        ("/base.css", "text/css; charset=utf-8"),
    ];
    for (path, content_type) in types {
        let page = chat.get(&format!("GET {path} HTTP/1.1")).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.headers["content-type"], content_type);
        assert_eq!(page.headers["x-content-type-options"], "nosniff");
        assert_eq!(page.headers["referrer-policy"], "no-referrer");
        let policy = &page.headers["content-security-policy"];
        assert!(policy.starts_with("default-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('*'));
    }
    let page = chat.get("GET / HTTP/1.1").await.body;
    assert!(page.contains(r#"<script type="module" src="/chat.js"></script>"#));
    assert!(page.contains(r#"<link rel="stylesheet" href="/chat.css">"#));
    assert!(!page.contains("<script>") && !page.contains("<style") && !page.contains("style="));
}

/// SV-11: what is not there is 404; the WebSocket's path is nothing for a plain GET.
#[tokio::test]
async fn unknown_paths_are_not_found() {
    let chat = Chat::start();
    for path in ["/index.html", "/chat/", "/../Cargo.toml", "/%2e%2e/x"] {
        let page = chat.get(&format!("GET {path} HTTP/1.1")).await;
        assert_eq!(page.status, 404, "{path}");
    }
    let page = chat.get("GET /chat HTTP/1.1").await;
    assert_eq!(page.status, 426);
    let page = chat.get("POST / HTTP/1.1").await;
    assert_eq!(page.status, 405);
}

/// MT-01, SV-11: the metrics are for nobody, unless they are asked for on the command line; then they are
/// those of the hub.
#[tokio::test]
async fn metrics_are_off_by_default() {
    let chat = Chat::start();
    assert_eq!(chat.get("GET /metrics HTTP/1.1").await.status, 404);
    let chat = Chat::start_with(&["--metrics"]);
    let _ann = chat.join("lobby", "Ann", 1).await;
    let page = chat.get("GET /metrics HTTP/1.1").await;
    assert_eq!(page.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    for sample in ["sockeye_connections 1\n", "sockeye_rooms 1\n"] {
        assert!(page.body.contains(sample), "{}", page.body);
    }
}
