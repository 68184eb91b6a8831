//! Bodies of close frames: read by the book, written back as they were, and answered by the book in
//! both roles.

use std::sync::Arc;

use sockeye::frame::{CloseFrame, Frame, Opcode, Violation};
use sockeye::protocol::{Config, Role, State, WriteBuffer};

use super::wire::{assert_lawful, endpoint};

/// The bytes are the body.
pub fn run(data: &[u8]) {
    let parsed = CloseFrame::parse(data);
    match data {
        [] => assert_eq!(parsed, Ok(None)),
        [_] => assert_eq!(parsed, Err(Violation::CloseTooShort)),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            let expected = match std::str::from_utf8(reason) {
                _ if !is_legal(code) => Err(Violation::CloseCode(code)),
                Err(_) => Err(Violation::CloseReason),
                Ok(reason) => Ok((code, reason)),
            };
            let found = match &parsed {
                Ok(frame) => {
                    let frame = frame.as_ref().expect("a body");
                    assert_eq!(frame.encode(), data);
                    assert_eq!(*frame == CloseFrame::normal(), data == [3, 232]);
                    let again = CloseFrame::new(frame.code(), frame.reason());
                    assert_eq!(again.is_ok(), data.len() <= 125);
                    assert_eq!(frame.code().to_string(), code.to_string());
                    let is_retryable = [1001, 1006, 1011, 1012, 1013, 1014].contains(&code);
                    assert_eq!(frame.code().is_retryable(), is_retryable);
                    Ok((frame.code().as_u16(), frame.reason()))
                }
                Err(violation) => Err(*violation),
            };
            assert_eq!(found, expected);
        }
    }
    if data.len() <= 125 {
        answered(data, Role::Server, &parsed);
        answered(data, Role::Client, &parsed);
    }
}

/// The table of RFC 6455 7.4 and of the registry.
fn is_legal(code: u16) -> bool {
    (1000..=1014).contains(&code) && !(1004..=1006).contains(&code) || (3000..5000).contains(&code)
}

fn answered(data: &[u8], role: Role, parsed: &Result<Option<CloseFrame>, Violation>) {
    let mut endpoint = endpoint(role, &Arc::new(Config::default()));
    let mut frame = Frame::new(Opcode::Close, data.to_vec());
    frame.mask_key = (role == Role::Server).then_some([1, 2, 3, 4]);
    let (mut block, mut out) = (frame.encode(), WriteBuffer::new());
    assert!(endpoint.receive(&mut block, &mut 0, &mut out, 0).is_some());
    assert_eq!(endpoint.state(), State::Closed);
    let answer = assert_lawful(&out.into_vec(), role).pop().expect("an answer");
    let code = match parsed {
        Ok(None) => {
            assert!(answer.payload.is_empty());
            return;
        }
        Ok(Some(frame)) => frame.code(),
        Err(violation) => violation.close_code(),
    };
    assert_eq!(answer.payload[..2], code.as_u16().to_be_bytes());
}
