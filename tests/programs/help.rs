//! What every example says of itself.

#![cfg(feature = "full")]

use crate::support::programs::example;

/// EX-01 to EX-14: whoever asks a program for help is told how it is used, and nothing is begun.
#[test]
fn every_program_explains_itself() {
    let with_words = [
        "autobahn_client",
        "chat",
        "chat_client",
        "client",
        "cluster",
        "echo",
        "jwt_server",
        "monitor",
        "price_stream",
        "quiz",
        "resume",
        "stream_upload",
        "tunnel",
        "wscat",
    ];
    let with_numbers = [
        "app_server",
        "attached",
        "axum_chat",
        "errors",
        "game",
        "http2",
        "managed",
        "stream_data",
        "validated",
    ];
    for name in with_words.iter().chain(&with_numbers) {
        for word in ["-h", "--help"] {
            let output = example(name).arg(word).output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{name} {word}: {said}");
            let begin = if with_numbers.contains(name) { "--port N" } else { name };
            assert!(said.lines().any(|line| line.contains(begin)), "{name} {word}: {said}");
        }
    }
}
