//! What can end the program, as text and as JSON.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind::BrokenPipe, Write};
use std::os::unix::ffi::OsStrExt;

use safe_layers::{Class, Error, escape_path};
use serde_json::{Value, json};

use super::args::Output;
use super::report;

#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line makes no sense.
    Usage(String),
    /// The library refused or failed; `layer` where the library was not told yet which one.
    Library { error: Error, layer: Option<u64> },
    /// A LAYER could not be opened; without a number, the image.
    Open { layer: Option<u64>, file: OsString, error: io::Error, partially_applied: bool },
    /// The demonstration found no place to work in.
    Demo(io::Error),
    /// The output could not be written. What was unpacked stays.
    Output(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Library { error, layer: None }
    }
}

impl Failure {
    /// Tells what happened, to `out` as JSON or to `err` as text, and gives the exit status.
    pub(crate) fn tell(&self, output: Output, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
        if let Self::Output(error) = self
            && error.kind() == BrokenPipe
        {
            return 0; // The job is done; whoever read the report went away.
        }
        let told = output == Output::Json && report::print(out, &format!("{}\n", self.json())).is_ok();
        if !told {
            // Nothing is left to do where this cannot be written either.
            writeln!(err, "unpack: {}", self.text()).unwrap_or_default();
        }
        match self {
            Self::Usage(_) => 2,
            _ => 1,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Usage(message) => format!("usage: {message}\nTry --help."),
            Self::Library { error, layer } => {
                let layer = layer.filter(|_| error.layer().is_none()).map(|layer| format!(" (layer {layer})"));
                format!("{}: {error}{}", verdict(error.class()), layer.unwrap_or_default())
            }
            Self::Open { layer, file, error, partially_applied } => {
                let rest = if *partially_applied { "; the destination is partially applied" } else { "" };
                let layer = layer.map_or_else(String::new, |layer| format!(" (layer {layer})"));
                format!("failed: Io: {}{layer}{rest}", opening(file, error))
            }
            Self::Demo(error) => format!("failed: Io: making a temporary directory: {error}"),
            Self::Output(error) => format!("failed: Io: writing the output: {error}"),
        }
    }

    fn json(&self) -> Value {
        let error = match self {
            Self::Usage(message) => json!({ "class": "Usage", "kind": "Usage", "message": message }),
            Self::Library { error, layer } => library(error, *layer),
            Self::Open { layer, file, error, partially_applied } => io_error(&opening(file, error), error, *layer, *partially_applied),
            Self::Demo(error) => io_error(&error.to_string(), error, None, false),
            Self::Output(error) => io_error(&format!("writing the output: {error}"), error, None, false),
        };
        json!({ "error": error })
    }
}

/// The library's own form; the layer is added where the library could not know it.
fn library(error: &Error, layer: Option<u64>) -> Value {
    let mut value =
        serde_json::to_value(error).unwrap_or_else(|_| json!({ "class": error.class().as_str(), "kind": error.kind().as_str() }));
    if let (Some(layer), Value::Object(fields)) = (layer, &mut value)
        && error.layer().is_none()
    {
        fields.insert("layer".to_owned(), layer.into());
    }
    value
}

/// The fields of the library's form, for an error that the program met itself.
fn io_error(message: &str, error: &io::Error, layer: Option<u64>, partially_applied: bool) -> Value {
    json!({
        "class": "Io", "kind": "Io", "message": message, "layer": layer, "entry": null, "offset": null, "path": null,
        "path_hex": null, "limit": null, "errno": error.raw_os_error(), "partially_applied": partially_applied,
    })
}

fn opening(file: &OsStr, error: &io::Error) -> String {
    format!("opening \"{}\": {error}", escape_path(file.as_bytes()))
}

/// Refused: the layer is to blame, and another try ends the same.
fn verdict(class: Class) -> &'static str {
    match class {
        Class::Io => "failed",
        Class::Cancelled => "cancelled",
        _ => "refused",
    }
}
