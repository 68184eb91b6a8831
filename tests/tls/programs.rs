//! TLS as users of the programs meet it: the echo server with its own certificate, and a client without any
//! settings for TLS, which trusts what the system trusts.

#![cfg(all(feature = "hub", feature = "ring", feature = "tls-native-roots"))]

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// `cargo test` builds the examples beside the tests.
fn program(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().unwrap().parent().unwrap().join("examples");
    Command::new(folder.join(name))
}

/// Until it is dropped.
struct Echo {
    process: Child,
    certificate: PathBuf,
    port: String,
}

impl Echo {
    fn start() -> Self {
        let mut command = program("echo");
        command.args(["--tls", "--port", "0"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process =
            command.spawn().expect("the example is there: cargo test --features full builds it");
        let (mut said, mut path) = (String::new(), String::new());
        BufReader::new(process.stderr.take().unwrap()).read_line(&mut path).unwrap();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let certificate = path.trim().strip_prefix("certificate in ").unwrap().into();
        let port = said.trim().rsplit(':').next().unwrap().to_owned();
        Self { process, certificate, port }
    }

    /// What the client prints that says hello, with these roots as the system's.
    fn hello(&self, roots: &str) -> String {
        let url = format!("wss://localhost:{}/echo", self.port);
        let mut command = program("client");
        command.arg(url).env("SSL_CERT_FILE", roots).env_remove("SSL_CERT_DIR");
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = pipes.spawn().expect("the example is there");
        // It may have ended already.
        let _ = client.stdin.take().unwrap().write_all(b"hello\n");
        let output = client.wait_with_output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.certificate);
    }
}

/// BY-27, E34: `wss` works by itself where the system trusts the server, and not where it does not.
#[test]
fn wss_takes_the_roots_of_the_system() {
    let echo = Echo::start();
    let said = echo.hello(echo.certificate.to_str().unwrap());
    assert!(said.contains("hello"), "{said}");
    let mut params = rcgen::CertificateParams::new([]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "somebody else");
    let other = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    let path = echo.certificate.with_extension("other");
    std::fs::write(&path, other.pem()).unwrap();
    let said = echo.hello(path.to_str().unwrap());
    std::fs::remove_file(path).unwrap();
    assert!(said.contains("issuer is not trusted") && !said.contains("hello"), "{said}");
}
