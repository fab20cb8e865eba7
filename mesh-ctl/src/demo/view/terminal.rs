//! The terminal: full screen where there is one, a line a second where there is none.

use std::{io, io::IsTerminal, time::Duration};

use mesh_runtime::process::end_asked;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use tokio::sync::mpsc;

use super::{Model, draw::draw};

/// What somebody pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// `q`, Escape or Ctrl-C.
    Quit,
}

/// Shows models as they come until asked to quit, by key or signal.
///
/// # Errors
/// As the terminal gives them.
pub async fn run(mut models: mpsc::Receiver<Model>, where_to_edit: &str) -> io::Result<()> {
    if !io::stdout().is_terminal() {
        return plain(models).await;
    }
    let mut keys = keys();
    let mut terminal = ratatui::try_init()?;
    let _restored = Restore;
    async {
        loop {
            tokio::select! {
                model = models.recv() => match model {
                    Some(model) => {
                        terminal.draw(|frame| draw(frame, &model, where_to_edit))?;
                    }
                    None => return Ok(()),
                },
                Some(Key::Quit) = keys.recv() => return Ok(()),
                () = end_asked() => return Ok(()),
            }
        }
    }
    .await
}

/// Gives the terminal back, however the view ends.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

async fn plain(mut models: mpsc::Receiver<Model>) -> io::Result<()> {
    loop {
        tokio::select! {
            model = models.recv() => match model {
                Some(model) => line(&model)?,
                None => return Ok(()),
            },
            () = end_asked() => return Ok(()),
        }
    }
}

fn line(model: &Model) -> io::Result<()> {
    use io::Write;
    let split: Vec<String> = model.split.iter().map(|(version, share)| format!("{version} {share:.0} %")).collect();
    let ended: Vec<String> = model
        .processes
        .iter()
        .filter(|row| matches!(row.state, crate::mesh::process::State::Ended(_)))
        .map(|row| format!("{} {}", row.name, row.state_text()))
        .collect();
    writeln!(
        io::stdout(),
        "{:.0} requests/s  {}  {} failed of {}  p50 {:.2?} p99 {:.2?}  {}",
        model.rate,
        split.join(" "),
        model.seen.failures,
        model.seen.requests,
        model.seen.p50,
        model.seen.p99,
        ended.join("; "),
    )?;
    for error in &model.facts.refused {
        writeln!(io::stdout(), "{error}")?;
    }
    Ok(())
}

/// Reads the keyboard on a thread of its own: its reads block. The thread ends when nobody listens any more.
fn keys() -> mpsc::Receiver<Key> {
    let (pressed, keys) = mpsc::channel(4);
    std::thread::spawn(move || {
        while !pressed.is_closed() {
            match event::poll(Duration::from_millis(200)) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(_) => break,
            }
            let Ok(Event::Key(key)) = event::read() else { continue };
            let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if (interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)) && pressed.blocking_send(Key::Quit).is_err() {
                break;
            }
        }
    });
    keys
}
