//! A progress bar on the terminal, for work that takes longer than half a second.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use safe_layers::{Observer, Progress};

use super::report::bytes;

/// Shorter work shows no bar.
const PATIENCE: Duration = Duration::from_millis(500);
/// Time between two drawings.
const FRAME: Duration = Duration::from_millis(100);
/// Cells of the bar; the line stays below 80 columns.
const CELLS: usize = 24;

/// Draws itself while layers are applied; its drop clears the line.
pub(crate) struct Bar {
    /// Of each layer, in bytes; none for a stream.
    sizes: Vec<Option<u64>>,
    started: Instant,
    drawn: Option<Instant>,
}

impl Bar {
    /// Makes a bar if there is a terminal that can show one.
    pub(crate) fn for_terminal(sizes: Vec<Option<u64>>) -> Option<Self> {
        let capable = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        (capable && io::stderr().is_terminal()).then(|| Self { sizes, started: Instant::now(), drawn: None })
    }
}

impl Observer for Bar {
    fn progress(&mut self, progress: &Progress) {
        let due = self.drawn.map_or(self.started.elapsed() >= PATIENCE, |drawn| drawn.elapsed() >= FRAME);
        if due {
            self.drawn = Some(Instant::now());
            show(&format!("\r\x1b[2K{}", line(&self.sizes, progress)));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            show("\r\x1b[2K");
        }
    }
}

fn show(text: &str) {
    // A terminal that is gone must not end the work.
    let mut out = io::stderr().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).unwrap_or_default();
}

fn line(sizes: &[Option<u64>], progress: &Progress) -> String {
    let layer = format!("layer {}/{}", progress.layer.saturating_add(1), sizes.len());
    let entries = format!("{} entries", progress.entries);
    let Some(total) = sizes.iter().copied().sum::<Option<u64>>() else {
        return format!("{layer}  {} decoded  {entries}", bytes(progress.decoded_bytes));
    };
    let before = (0..progress.layer).zip(sizes).filter_map(|(_, size)| *size).fold(0, u64::saturating_add);
    let done = before.saturating_add(progress.blob_bytes).min(total);
    let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
    let full = usize::try_from(percent).unwrap_or(100).saturating_mul(CELLS).div_euclid(100);
    let bar = format!("{:.<CELLS$}", "#".repeat(full));
    format!("{layer} [{bar}] {percent:>3}%  {} of {}  {entries}", bytes(done), bytes(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(layer: u64, blob_bytes: u64) -> Progress {
        let mut progress = Progress::default();
        (progress.layer, progress.blob_bytes, progress.decoded_bytes, progress.entries) = (layer, blob_bytes, 2048, 7);
        progress
    }

    #[test]
    fn the_bar_counts_the_layers_before() {
        let line = line(&[Some(1000), Some(3000)], &at(1, 1000));
        assert_eq!(line, "layer 2/2 [############............]  50%  2.0 kB of 4.0 kB  7 entries");
    }

    #[test]
    fn without_sizes_there_is_no_bar() {
        assert_eq!(line(&[Some(1), None], &at(0, 1)), "layer 1/2  2.0 kB decoded  7 entries");
    }

    #[test]
    fn more_bytes_than_announced_and_none_at_all_stay_at_the_end() {
        assert!(line(&[Some(10)], &at(0, 11)).contains("100%"));
        assert!(line(&[Some(0)], &at(0, 0)).contains("100%"));
    }
}
