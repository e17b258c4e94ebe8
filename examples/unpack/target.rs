//! Where the tree goes, and in what form.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use safe_layers::OverlayForm;

use super::args::usage;
use super::failure::Failure;

/// Where the tree goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A new name in a directory that exists.
    New { parent: PathBuf, name: String, form: Form },
    /// Into a directory that exists.
    InPlace,
}

/// What becomes of the layers: one tree, or a directory for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    #[default]
    Merged,
    Overlay(OverlayForm),
}

/// Splits DEST into the directory that is opened and the one name that appears in it.
pub(crate) fn new_target(dest: &OsStr, form: Form) -> Result<Target, Failure> {
    let bytes = trim_end_slashes(dest.as_bytes());
    let (parent, name) = match bytes.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (bytes.get(..=at), bytes.get(at.saturating_add(1)..)),
        None => (Some(b".".as_slice()), Some(bytes)),
    };
    match (parent, name.map(std::str::from_utf8)) {
        (_, Some(Ok("" | "." | ".."))) => usage("DEST needs a name: it must not be empty, `/`, or end in `.` or `..`"),
        (Some(parent), Some(Ok(name))) => {
            Ok(Target::New { parent: Path::new(OsStr::from_bytes(parent)).to_owned(), name: name.to_owned(), form })
        }
        _ => usage("the name of DEST is not UTF-8"),
    }
}

fn trim_end_slashes(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b'/'] = bytes {
        bytes = rest;
    }
    bytes
}

pub(crate) fn form(text: &str) -> Result<Form, Failure> {
    match text {
        "merged" => Ok(Form::Merged),
        "overlay-trusted" => Ok(Form::Overlay(OverlayForm::Trusted)),
        "overlay-user" => Ok(Form::Overlay(OverlayForm::User)),
        _ => usage("--form is merged, overlay-trusted or overlay-user"),
    }
}
