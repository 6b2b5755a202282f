//! How other programs are run to their end.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// What a program printed, and whether it was content.
#[derive(Clone, Debug)]
pub struct Answer {
    pub succeeded: bool,
    pub output: String,
    pub complaint: String,
}

/// Runs a command with a text as its input.
pub fn ask(command: &mut Command, input: &str) -> Result<Answer> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {name}"))?;
    let mut pipe = child.stdin.take().context("the program has no input")?;
    // Beside reading, as a program that fills its output pipe reads no further input.
    let text = input.to_owned();
    let writer = std::thread::spawn(move || pipe.write_all(text.as_bytes()));
    let done = child.wait_with_output()?;
    // A program that ends early closes its input; its status says whether that was an error.
    let _ = writer.join();
    Ok(Answer {
        succeeded: done.status.success(),
        output: String::from_utf8_lossy(&done.stdout).into_owned(),
        complaint: String::from_utf8_lossy(&done.stderr).trim().to_owned(),
    })
}

/// Standard output of a command that must succeed; a failure quotes what it said.
pub fn output(command: &mut Command) -> Result<String> {
    let answer = ask(command, "")?;
    if !answer.succeeded {
        let words: Vec<_> = command
            .get_args()
            .map(|word| word.to_string_lossy())
            .collect();
        let name = command.get_program().to_string_lossy().into_owned();
        bail!("{name} {}: {}", words.join(" "), answer.complaint);
    }
    Ok(answer.output)
}
