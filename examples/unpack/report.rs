//! What the program says when it is done.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use safe_layers::{EntryCounts, Event, LayerReport, Reason, Unpacked, escape_path};
use serde_json::Value;

use super::failure::Failure;
use super::image::Summary;
use super::job::Done;

/// Events told one by one; the report of `--json` has more.
const EVENTS: usize = 10;

/// Writes `text` to `out`, all of it.
pub(crate) fn print(out: &mut dyn Write, text: &str) -> Result<(), Failure> {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
}

/// Gives the report as one JSON object, with `dest` in it, and `image` where it was one.
pub(crate) fn json(done: &Done, dest: &OsStr) -> Result<String, Failure> {
    let Done { unpacked, image } = done;
    let mut value = serde_json::to_value(unpacked).map_err(|error| Failure::Output(error.into()))?;
    if let Value::Object(fields) = &mut value {
        fields.insert("dest".to_owned(), escape_path(dest.as_bytes()).into());
        if let Some(image) = image {
            fields.insert("image".to_owned(), image.json());
        }
        if let Some(lowerdir) = unpacked.lowerdir(dest) {
            fields.insert("lowerdir".to_owned(), lowerdir_text(&lowerdir).into());
        }
    }
    Ok(format!("{value}\n"))
}

/// What the mount takes, byte for byte where JSON can hold it.
fn lowerdir_text(lowerdir: &OsStr) -> String {
    lowerdir.to_str().map_or_else(|| escape_path(lowerdir.as_bytes()), str::to_owned)
}

/// Gives the report for people, of an image what it is first.
pub(crate) fn told(done: &Done, dest: &OsStr) -> String {
    let image = done.image.as_ref().map(Summary::text).unwrap_or_default();
    format!("{image}{}", text(&done.unpacked, dest))
}

/// Gives the report of the layers for people.
pub(crate) fn text(unpacked: &Unpacked, dest: &OsStr) -> String {
    let layers = &unpacked.layers;
    let mut text = format!("Unpacked {} into {}\n", count(len(layers.len()), "layer", "layers"), escape_path(dest.as_bytes()));
    for (index, layer) in layers.iter().enumerate() {
        text.push_str(&layer_text(index, layer));
    }
    text.push_str(&events_text(layers));
    if let Some(lowerdir) = unpacked.lowerdir(dest) {
        text.push_str(&format!("For an overlay mount: lowerdir={}\n", escape_path(lowerdir.as_bytes())));
    }
    text
}

fn layer_text(index: usize, layer: &LayerReport) -> String {
    let entries = entries(&layer.entries);
    let entries = if entries.is_empty() { "no entries" } else { &entries };
    format!(
        "layer {index}: {entries}; {} in files\n  blob    {} ({}, {}) {}\n  diff_id {} ({}) {}\n",
        bytes(layer.file_bytes),
        layer.blob_digest,
        bytes(layer.blob_bytes),
        format!("{:?}", layer.compression).to_lowercase(),
        claim(layer.verified.blob_digest.is_some()),
        layer.diff_id,
        bytes(layer.decoded_bytes),
        claim(layer.verified.diff_id.is_some()),
    )
}

fn claim(verified: bool) -> &'static str {
    if verified { "verified" } else { "computed, not claimed" }
}

fn entries(counts: &EntryCounts) -> String {
    let kinds = [
        (counts.directories, "directory", "directories"),
        (counts.files, "file", "files"),
        (counts.symlinks, "symlink", "symlinks"),
        (counts.hardlinks, "hardlink", "hardlinks"),
        (counts.fifos, "FIFO", "FIFOs"),
        (counts.devices, "device", "devices"),
        (counts.whiteouts, "whiteout", "whiteouts"),
        (counts.skipped, "skipped", "skipped"),
    ];
    let some = kinds.into_iter().filter(|(number, ..)| *number > 0);
    some.map(|(number, one, many)| count(number, one, many)).collect::<Vec<_>>().join(", ")
}

fn events_text(layers: &[LayerReport]) -> String {
    let mut counts = BTreeMap::<Reason, u64>::new();
    for (reason, number) in layers.iter().flat_map(|layer| layer.events.counts()) {
        let sum = counts.entry(*reason).or_insert(0);
        *sum = sum.saturating_add(*number);
    }
    if counts.is_empty() {
        return "Nothing was skipped or changed.\n".to_owned();
    }
    let by_reason: Vec<_> = counts.iter().map(|(reason, number)| format!("{} {number}", reason.as_str())).collect();
    let mut text = format!("Skipped, changed or read generously: {}\n", by_reason.join(", "));
    let events = (0_u64..).zip(layers).flat_map(|(index, layer)| layer.events.first().iter().map(move |event| (index, event)));
    for (layer, event) in events.take(EVENTS) {
        text.push_str(&event_text(layer, event));
    }
    let total = counts.values().copied().fold(0, u64::saturating_add);
    if let Some(more) = total.checked_sub(len(EVENTS)).filter(|more| *more > 0) {
        text.push_str(&format!("  and {more} more\n"));
    }
    text
}

fn event_text(layer: u64, event: &Event) -> String {
    let path = event.location.path.as_deref().map(|path| format!(" \"{}\"", escape_path(path))).unwrap_or_default();
    let detail = if event.detail.is_empty() { String::new() } else { format!(": {}", escape_path(event.detail.as_bytes())) };
    format!("  layer {layer} {}{path}{detail}\n", event.reason.as_str())
}

fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn len(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Gives a number of bytes with one decimal, in powers of a thousand.
pub(crate) fn bytes(number: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    let Some((unit, name)) = units.into_iter().find(|(unit, _)| number >= *unit) else { return format!("{number} B") };
    let whole = number.div_euclid(unit);
    let tenth = number.rem_euclid(unit).saturating_mul(10).div_euclid(unit);
    format!("{whole}.{tenth} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_rounded_down_to_one_decimal() {
        let shown = [0, 999, 1000, 1999, 1_000_000, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "1.9 kB", "1.0 MB", "18446744073.7 GB"]);
    }

    #[test]
    fn only_kinds_that_occurred_are_told() {
        let mut counts = EntryCounts::default();
        (counts.total, counts.directories, counts.files) = (3, 1, 2);
        assert_eq!(entries(&counts), "1 directory, 2 files");
    }
}
