//! Reading what nobody else should see: from a pipe, or from a terminal that does not show it.

use std::io::{self, BufRead, IsTerminal, Read};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::console::Console;
use crate::failure::Report;

/// Longest secret in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// Reads one secret: a line from a terminal, else all of standard input without the line break at its end.
pub(crate) fn read_secret(prompt: &str, console: &Console) -> Result<String, Report> {
    let stdin = io::stdin();
    let cannot = |error: &io::Error| Report::new("cannot read from standard input").because(error);
    let mut text = String::new();
    if stdin.is_terminal() {
        console.note(format_args!("{prompt} (it is not shown):"));
        let _silence = Silence::begin();
        stdin.lock().take(MAX_BYTES).read_line(&mut text).map_err(|error| cannot(&error))?;
    } else {
        stdin.lock().take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| cannot(&error))?;
    }
    if text.len() as u64 > MAX_BYTES {
        return Err(Report::new(format!("a secret has at most {MAX_BYTES} bytes")));
    }
    let end = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    Ok(end.to_owned())
}

/// A terminal that does not echo until this is dropped.
struct Silence(Option<rustix::termios::Termios>);

impl Silence {
    fn begin() -> Self {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(mut silent) = before.clone() {
            silent.local_modes.remove(LocalModes::ECHO);
            // A terminal that cannot be silenced shows what is typed; refusing would help nobody.
            tcsetattr(io::stdin(), OptionalActions::Flush, &silent).ok();
        }
        Self(before)
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            tcsetattr(io::stdin(), OptionalActions::Flush, before).ok();
        }
    }
}
