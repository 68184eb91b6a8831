//! A terminal whose keys are read one by one, so that lines can be edited and brought back.

use std::io::{self, Read};

use rustix::termios::{
    InputModes, LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};

/// What the terminal was before, until it is dropped.
pub(crate) struct Terminal {
    before: Termios,
}

impl Terminal {
    /// `None` where the standard input is no terminal.
    pub(crate) fn take() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut modes = before.clone();
        modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        modes.input_modes -= InputModes::IXON;
        tcsetattr(io::stdin(), OptionalActions::Now, &modes).ok()?;
        Some(Self { before })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

pub(crate) fn columns() -> usize {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => 80,
    }
}

/// The bytes of the keys, as they are pressed.
pub(crate) fn bytes() -> impl Iterator<Item = u8> {
    io::stdin().lock().bytes().map_while(Result::ok)
}
