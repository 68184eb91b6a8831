//! Where messages and reports go: past the line that is being typed, if there is one.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::editor::{Edited, Editor, Key};
use crate::terminal::columns;

const PROMPT: &str = "> ";

/// What is on the terminal. A clone is the same one.
#[derive(Clone, Default)]
pub(crate) struct Screen {
    /// `None` where nobody types.
    prompt: Arc<Mutex<Option<Editor>>>,
}

impl Screen {
    /// From now on somebody types.
    pub(crate) fn begin_typing(&self) -> io::Result<()> {
        let mut prompt = self.lock();
        draw(prompt.insert(Editor::default()))
    }

    pub(crate) fn press(&self, key: Key) -> io::Result<Edited> {
        let mut prompt = self.lock();
        let editor = prompt.get_or_insert_default();
        let (line, _) = editor.view(columns().saturating_sub(PROMPT.len()));
        let edited = editor.press(key);
        if edited != Edited::Line {
            // The line stays where it was typed.
            writeln!(io::stdout(), "\r\x1b[K{PROMPT}{line}")?;
        }
        match edited {
            Edited::Line | Edited::Done(_) => draw(editor)?,
            Edited::Interrupted | Edited::Ended => *prompt = None,
        }
        Ok(edited)
    }

    /// Lets somebody write; the line that is being typed steps aside.
    pub(crate) fn show(&self, write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let prompt = self.lock();
        let Some(editor) = &*prompt else {
            return write();
        };
        erase()?;
        write()?;
        draw(editor)
    }

    /// A line that is no message.
    pub(crate) fn report(&self, text: &str) {
        let written = self.show(|| {
            eprintln!("{text}");
            Ok(())
        });
        // Nobody looks any more.
        drop(written);
    }

    /// Nobody types any more.
    pub(crate) fn end_typing(&self) {
        if self.lock().take().is_some() {
            // As above.
            drop(erase());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Editor>> {
        self.prompt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn erase() -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "\r\x1b[K")?;
    out.flush()
}

fn draw(editor: &Editor) -> io::Result<()> {
    let (line, cursor) = editor.view(columns().saturating_sub(PROMPT.len()));
    let mut out = io::stdout().lock();
    write!(out, "\r\x1b[K{PROMPT}{line}\r\x1b[{}C", PROMPT.len() + cursor)?;
    out.flush()
}
