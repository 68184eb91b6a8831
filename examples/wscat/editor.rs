//! A line that is being typed, and those before it. No terminal is needed to edit.

/// Lines that are remembered.
const HISTORY_LINES_MAX: usize = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Character(char),
    Enter,
    Backspace,
    Delete,
    Left,
    Right,
    Home,
    End,
    Up,
    Down,
    /// Ctrl-U.
    EraseLine,
    /// Ctrl-W.
    EraseWord,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D.
    EndOfInput,
}

/// What a key came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Edited {
    Line,
    Done(String),
    Interrupted,
    Ended,
}

/// One line with a cursor, and a history one can go back in.
#[derive(Debug, Default)]
pub(crate) struct Editor {
    line: Vec<char>,
    /// `cursor <= line.len()`
    cursor: usize,
    history: Vec<String>,
    /// The line of the history that is shown, `at <= history.len()`; there it is the new one.
    at: usize,
    /// The new line, while one of the history is shown.
    draft: Vec<char>,
}

impl Editor {
    pub(crate) fn press(&mut self, key: Key) -> Edited {
        match key {
            Key::Character(character) => {
                self.line.insert(self.cursor, character);
                self.cursor += 1;
            }
            Key::Backspace => self.erase(self.cursor.saturating_sub(1)..self.cursor),
            Key::Delete => self.erase(self.cursor..(self.cursor + 1).min(self.line.len())),
            Key::EraseLine => self.erase(0..self.cursor),
            Key::EraseWord => self.erase(self.word_start()..self.cursor),
            Key::Left => self.cursor = self.cursor.saturating_sub(1),
            Key::Right => self.cursor = (self.cursor + 1).min(self.line.len()),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = self.line.len(),
            Key::Up => self.show(self.at.saturating_sub(1)),
            Key::Down => self.show((self.at + 1).min(self.history.len())),
            Key::Enter => return Edited::Done(self.take()),
            Key::Interrupt => return Edited::Interrupted,
            Key::EndOfInput if self.line.is_empty() => return Edited::Ended,
            Key::EndOfInput => {}
        }
        Edited::Line
    }

    /// As much of the line as fits, and where the cursor is in it.
    pub(crate) fn view(&self, columns: usize) -> (String, usize) {
        let columns = columns.max(1);
        let start = self.cursor.saturating_sub(columns - 1);
        let shown = self.line[start..].iter().take(columns).collect();
        (shown, self.cursor - start)
    }

    fn erase(&mut self, range: std::ops::Range<usize>) {
        self.cursor = range.start;
        self.line.drain(range);
    }

    fn word_start(&self) -> usize {
        let before = &self.line[..self.cursor];
        let is_word = |character: &char| !character.is_whitespace();
        let end = before.iter().rposition(is_word).map_or(0, |at| at + 1);
        before[..end].iter().rposition(|character| !is_word(character)).map_or(0, |at| at + 1)
    }

    fn show(&mut self, at: usize) {
        if at == self.at {
            return;
        }
        if self.at == self.history.len() {
            self.draft = std::mem::take(&mut self.line);
        }
        self.line = match self.history.get(at) {
            Some(line) => line.chars().collect(),
            None => std::mem::take(&mut self.draft),
        };
        (self.at, self.cursor) = (at, self.line.len());
    }

    fn take(&mut self) -> String {
        let line: String = self.line.drain(..).collect();
        if !line.is_empty() && self.history.last() != Some(&line) {
            self.history.push(line.clone());
        }
        if self.history.len() > HISTORY_LINES_MAX {
            self.history.remove(0);
        }
        (self.at, self.cursor) = (self.history.len(), 0);
        line
    }
}

/// Makes keys of the bytes that a terminal sends.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// What is no whole key yet.
    pending: Vec<u8>,
}

/// The longest sequence that is waited for.
const SEQUENCE_BYTES_MAX: usize = 8;

impl Keys {
    pub(crate) fn receive(&mut self, byte: u8) -> Option<Key> {
        self.pending.push(byte);
        let key = match &self.pending[..] {
            [0x1b] | [0x1b, b'[' | b'O'] => return None,
            [0x1b, b'[' | b'O', .., last] if !is_last(*last) => {
                if self.pending.len() < SEQUENCE_BYTES_MAX {
                    return None;
                }
                None
            }
            [0x1b, b'[' | b'O', rest @ ..] => sequence(rest),
            // The key Meta and another.
            [0x1b, ..] => None,
            [byte] if *byte < 0x20 || *byte == 0x7f => control(*byte),
            bytes => match std::str::from_utf8(bytes) {
                Ok(text) => text.chars().next().map(Key::Character),
                Err(error) if error.error_len().is_none() => return None,
                Err(_) => None,
            },
        };
        self.pending.clear();
        key
    }
}

fn is_last(byte: u8) -> bool {
    (0x40..0x7f).contains(&byte)
}

fn sequence(rest: &[u8]) -> Option<Key> {
    Some(match rest {
        b"A" => Key::Up,
        b"B" => Key::Down,
        b"C" => Key::Right,
        b"D" => Key::Left,
        b"H" | b"1~" | b"7~" => Key::Home,
        b"F" | b"4~" | b"8~" => Key::End,
        b"3~" => Key::Delete,
        _ => return None,
    })
}

fn control(byte: u8) -> Option<Key> {
    Some(match byte {
        b'\r' | b'\n' => Key::Enter,
        0x7f | 0x08 => Key::Backspace,
        0x01 => Key::Home,
        0x02 => Key::Left,
        0x03 => Key::Interrupt,
        0x04 => Key::EndOfInput,
        0x05 => Key::End,
        0x06 => Key::Right,
        0x0e => Key::Down,
        0x10 => Key::Up,
        0x15 => Key::EraseLine,
        0x17 => Key::EraseWord,
        b'\t' => Key::Character('\t'),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that come of these bytes, and what is left.
    fn typed(bytes: &[u8]) -> (Vec<String>, String) {
        let (mut editor, mut keys, mut lines) = (Editor::default(), Keys::default(), Vec::new());
        for key in bytes.iter().filter_map(|byte| keys.receive(*byte)) {
            if let Edited::Done(line) = editor.press(key) {
                lines.push(line);
            }
        }
        (lines, editor.view(99).0)
    }

    #[test]
    fn a_line_is_edited() {
        let one = |bytes: &[u8]| typed(bytes).0.remove(0);
        assert_eq!(one(b"hello\n"), "hello");
        assert_eq!(one("\u{e9}\u{1f41f}\n".as_bytes()), "\u{e9}\u{1f41f}");
        assert_eq!(one(b"helo\x1b[Dl\n"), "hello");
        assert_eq!(one(b"hello!\x7f\n"), "hello");
        assert_eq!(one(b"xhello\x1b[H\x1b[3~\n"), "hello");
        assert_eq!(one(b"ello\x01h\x05!\n"), "hello!");
        assert_eq!(one(b"two words \x17\x17one\n"), "one");
        assert_eq!(one(b"gone\x15\x15new\n"), "new");
        assert_eq!(one(b"\x7f\x1b[3~\x1b[D\x1b[Cx\n"), "x");
        assert_eq!(one(b"a\xff\x1b[1;5Xb\x1bqc\n"), "abc");
    }

    #[test]
    fn lines_before_come_back() {
        let (lines, left) = typed(b"one\ntwo\n\x1b[A\x1b[A\n\x10!\n");
        assert_eq!(
            (lines, left.as_str()),
            (["one", "two", "one", "one!"].iter().map(ToString::to_string).collect(), "")
        );
        assert_eq!(typed(b"one\ndraft\x1b[A\x1b[A\x1b[B\x1b[B").1, "draft");
        assert_eq!(typed(b"\x1b[A\x1b[Bx").1, "x");
        assert_eq!(typed(b"one\none\n\n\x1b[A\x1b[A").1, "one");
        assert_eq!(typed(b"one\nother\nx\x1b[A\x1b[A\x1b[A").1, "one");
    }

    #[test]
    fn the_history_is_bounded() {
        let mut editor = Editor::default();
        for number in 0..HISTORY_LINES_MAX + 10 {
            number.to_string().chars().for_each(|digit| {
                editor.press(Key::Character(digit));
            });
            editor.press(Key::Enter);
        }
        (0..2 * HISTORY_LINES_MAX).for_each(|_| {
            editor.press(Key::Up);
        });
        assert_eq!(editor.view(99), ("10".to_owned(), 2));
    }

    #[test]
    fn a_long_line_is_shown_around_its_cursor() {
        let mut editor = Editor::default();
        "0123456789".chars().for_each(|digit| {
            editor.press(Key::Character(digit));
        });
        assert_eq!(editor.view(5), ("6789".to_owned(), 4));
        editor.press(Key::Home);
        assert_eq!(editor.view(5), ("01234".to_owned(), 0));
    }

    #[test]
    fn the_end_of_the_input_is_that_of_an_empty_line() {
        let mut editor = Editor::default();
        assert_eq!(editor.press(Key::EndOfInput), Edited::Ended);
        editor.press(Key::Character('x'));
        assert_eq!(editor.press(Key::EndOfInput), Edited::Line);
        assert_eq!(editor.press(Key::Interrupt), Edited::Interrupted);
    }
}
