//! The command line, parsed by hand so that the example needs no further crate.

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;

use safe_layers::{Digest, Durability, Limits, Policy};

use super::claims::{BlobClaim, Layer, blob_claim, digest};
use super::failure::Failure;
use super::image::{ImageOptions, ImageRequest, Waiver};
use super::target::{Form, Target, form, new_target};

pub(crate) const HELP: &str = "\
Unpacks container layers that nobody trusts, in order, into one root filesystem.

Usage: unpack [OPTION]... LAYER... DEST
       unpack [OPTION]... --image PATH[:NAME] (--pin DIGEST | --key FILE | --unverified) DEST
       unpack                             unpacks a small layer that ships with the program

LAYER is a tar archive, plain, gzip or zstd; `-` is standard input. DEST must not exist: it appears
only when every layer was applied and every claim matched. PATH is an OCI layout, as a directory or
a tar, or a docker-archive; NAME is what the image is called in it.

  --policy container|strict|rootless   what a layer may ask for (default: container)
  --blob DIGEST[@SIZE]                 claims the digest, and the size, of the n-th layer as stored
  --diff-id DIGEST                     claims the digest of the n-th layer's uncompressed bytes
  --media-type TYPE                    claims the media type of the n-th layer
  --pin DIGEST                         of the image's manifest, or of an index above it; of a docker-archive the image's id
  --key FILE                           public key in PEM, of which a signature by cosign must be over the image's manifest, or over an
                                       index above it; which of the signed images it is, is said by a --pin as well, or by PATH alone
  --platform OS/ARCH[/VARIANT]         which image of an index (default: of this machine)
  --archive-digest DIGEST              of the whole archive that PATH is, checked first; enough without --pin
  --form merged|overlay-trusted|overlay-user
                                       one tree (default), or a directory for each layer, DEST/0, DEST/1, ...,
                                       bottom first, for an overlay mount (overlay-user: with userxattr)
  --unverified                         claims, or pins, nothing: whoever made the bytes decides what is unpacked
  --in-place                           writes into DEST, which exists; cannot be undone
  --durable                            the tree survives a loss of power, from when the program ends
  --recover                            removes first what runs that were killed left beside DEST
  --threads N                          worker threads
  --limit NAME=VALUE                   sets a limit, such as total_bytes=1073741824
  --json                               prints one JSON object: the report, or the error
  -h, --help                           prints this

Exit status: 0 done, 1 refused or failed, 2 usage.
";

/// Who reads the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Text,
    Json,
}

#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Demo,
    Unpack(Box<Request>),
}

/// What was asked for. The number of claims fits the number of layers.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) preset: Preset,
    pub(crate) limits: Vec<(String, String)>,
    pub(crate) threads: Option<NonZeroUsize>,
    pub(crate) target: Target,
    pub(crate) durability: Durability,
    pub(crate) leftovers: Leftovers,
    pub(crate) source: Source,
    /// DEST, as given.
    pub(crate) dest: OsString,
}

/// Where the layers come from.
#[derive(Debug)]
pub(crate) enum Source {
    Layers(Vec<Layer>),
    Image(Box<ImageRequest>),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Preset {
    #[default]
    Container,
    Strict,
    Rootless,
}

/// What becomes of what runs that were killed left beside DEST.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Leftovers {
    #[default]
    Stay,
    Go,
}

/// Tells from the words alone who reads the output, so that a usage error is told in the right form too.
pub(crate) fn output(words: &[OsString]) -> Output {
    let mut options = words.iter().take_while(|word| *word != "--");
    if options.any(|word| word == "--json") { Output::Json } else { Output::Text }
}

/// Parses the words after the program's name.
pub(crate) fn parse(words: Vec<OsString>) -> Result<Command, Failure> {
    if words.is_empty() {
        return Ok(Command::Demo);
    }
    let mut options = Options::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.as_bytes() {
            b"--" => options.operands.extend(words.by_ref()),
            b"-h" | b"--help" => return Ok(Command::Help),
            [b'-', _, ..] => options.option(&word, &mut words)?,
            _ => options.operands.push(word),
        }
    }
    options.request().map(|request| Command::Unpack(Box::new(request)))
}

#[derive(Debug, Default)]
struct Options {
    preset: Preset,
    blobs: Vec<BlobClaim>,
    diff_ids: Vec<Digest>,
    media_types: Vec<String>,
    image: ImageOptions,
    unverified: bool,
    in_place: bool,
    form: Option<Form>,
    durability: Durability,
    leftovers: Leftovers,
    threads: Option<NonZeroUsize>,
    limits: Vec<(String, String)>,
    operands: Vec<OsString>,
}

impl Options {
    fn option(&mut self, word: &OsStr, rest: &mut dyn Iterator<Item = OsString>) -> Result<(), Failure> {
        let Some(text) = word.to_str() else { return usage("an option is not UTF-8") };
        let (name, joined) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if let "--unverified" | "--in-place" | "--json" | "--durable" | "--recover" = name {
            if joined.is_some() {
                return usage(format!("{name} takes no value"));
            }
            self.unverified |= name == "--unverified";
            self.in_place |= name == "--in-place";
            match name {
                "--durable" => self.durability = Durability::Tree,
                "--recover" => self.leftovers = Leftovers::Go,
                _ => {}
            }
            return Ok(());
        }
        let value = || match joined.or_else(|| rest.next().and_then(|word| word.into_string().ok())) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => usage(format!("{name} needs a value")),
        };
        match name {
            "--policy" => self.preset = preset(&value()?)?,
            "--blob" => self.blobs.push(blob_claim(&value()?)?),
            "--diff-id" => self.diff_ids.push(digest(&value()?)?),
            "--media-type" => self.media_types.push(value()?),
            "--form" => self.form = Some(form(&value()?)?),
            "--threads" => self.threads = Some(threads(&value()?)?),
            "--limit" => self.limits.push(limit(&value()?)?),
            name if ImageOptions::have(name) => self.image.set(name, value()?)?,
            _ => return usage(format!("no option has the name {}", safe_layers::escape_path(name.as_bytes()))),
        }
        Ok(())
    }

    fn request(mut self) -> Result<Request, Failure> {
        let Some(dest) = self.operands.pop() else { return usage("one LAYER or more and a DEST are needed") };
        let source = self.source()?;
        let target = match (self.in_place, self.form) {
            (true, Some(_)) => return usage("--in-place writes one tree: --form does not go with it"),
            (true, None) if self.leftovers == Leftovers::Go => return usage("--in-place leaves nothing to recover"),
            (true, None) => Target::InPlace,
            (false, form) => new_target(&dest, form.unwrap_or_default())?,
        };
        let Self { preset, limits, threads, durability, leftovers, .. } = self;
        Ok(Request { preset, limits, threads, target, durability, leftovers, source, dest })
    }

    fn source(&mut self) -> Result<Source, Failure> {
        let waiver = if self.unverified { Waiver::Said } else { Waiver::NotSaid };
        let Some(image) = std::mem::take(&mut self.image).request(waiver)? else { return self.layers().map(Source::Layers) };
        let claimed = !self.blobs.is_empty() || !self.diff_ids.is_empty() || !self.media_types.is_empty();
        if claimed || !self.operands.is_empty() {
            return usage("--image has its own layers and claims: neither a LAYER nor a claim goes with it");
        }
        Ok(Source::Image(Box::new(image)))
    }

    fn layers(&mut self) -> Result<Vec<Layer>, Failure> {
        if self.operands.is_empty() {
            return usage("one LAYER or more and a DEST are needed");
        }
        self.check_claims()?;
        if self.operands.iter().filter(|file| *file == "-").count() > 1 {
            return usage("standard input can be one layer only");
        }
        let (mut blobs, mut diff_ids) = (std::mem::take(&mut self.blobs).into_iter(), std::mem::take(&mut self.diff_ids).into_iter());
        let mut media_types = std::mem::take(&mut self.media_types).into_iter();
        let layer = |file| Layer { file, blob: blobs.next(), diff_id: diff_ids.next(), media_type: media_types.next() };
        Ok(std::mem::take(&mut self.operands).into_iter().map(layer).collect())
    }

    /// The n-th claim belongs to the n-th layer, and to claim nothing has to be said.
    fn check_claims(&self) -> Result<(), Failure> {
        let layers = self.operands.len();
        let given = [("--blob", self.blobs.len()), ("--diff-id", self.diff_ids.len()), ("--media-type", self.media_types.len())];
        for (name, count) in given {
            if count != 0 && count != layers {
                return usage(format!("{name} is given {count} times for {layers} layers: the n-th belongs to the n-th layer"));
            }
        }
        let digests = !self.blobs.is_empty() || !self.diff_ids.is_empty();
        match (digests, self.unverified) {
            (true, true) => usage("--unverified says that nothing is claimed, but a digest is"),
            (false, false) => usage(
                "no digest is claimed: give --blob (the layer's digest in the image manifest) or --diff-id (the one in the image \
                 config) for each layer, or say --unverified to unpack whatever the bytes are",
            ),
            _ => Ok(()),
        }
    }
}

impl Preset {
    pub(crate) fn policy(self) -> Policy {
        match self {
            Self::Container => Policy::container(),
            Self::Strict => Policy::strict(),
            Self::Rootless => Policy::rootless(),
        }
    }
}

fn preset(text: &str) -> Result<Preset, Failure> {
    match text {
        "container" => Ok(Preset::Container),
        "strict" => Ok(Preset::Strict),
        "rootless" => Ok(Preset::Rootless),
        _ => usage("--policy is container, strict or rootless"),
    }
}

fn threads(text: &str) -> Result<NonZeroUsize, Failure> {
    text.parse().or_else(|_| usage("--threads is a whole number from 1"))
}

fn limit(text: &str) -> Result<(String, String), Failure> {
    let Some((name, value)) = text.split_once('=') else { return usage("--limit is NAME=VALUE") };
    match Limits::default().set(name, value) {
        Ok(()) => Ok((name.to_owned(), value.to_owned())),
        Err(error) => {
            usage(format!("{}; the limits are {}", safe_layers::escape_path(error.detail().as_bytes()), Limits::NAMES.join(", ")))
        }
    }
}

pub(crate) fn usage<T>(message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Usage(message.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parsed(words: &[&str]) -> Result<Command, Failure> {
        parse(words.iter().map(OsString::from).collect())
    }

    #[track_caller]
    fn request(words: &[&str]) -> Request {
        match parsed(words) {
            Ok(Command::Unpack(request)) => *request,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn layers(words: &[&str]) -> Vec<Layer> {
        match request(words).source {
            Source::Layers(layers) => layers,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn refused(words: &[&str], text: &str) {
        match parsed(words) {
            Err(Failure::Usage(message)) if message.contains(text) => (),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_destination_is_one_name_in_a_directory() {
        for (dest, parent, name) in [("d", ".", "d"), ("./d", "./", "d"), ("a/b/d/", "a/b/", "d"), ("/d//", "/", "d"), ("../d", "../", "d")]
        {
            let target = Target::New { parent: parent.into(), name: name.into(), form: Form::Merged };
            assert_eq!(request(&["--unverified", "l", dest]).target, target, "{dest}");
        }
        for dest in ["", "/", "//", ".", "..", "a/..", "a/.", "a/../", "./"] {
            refused(&["--unverified", "l", dest], "DEST needs a name");
        }
        assert_eq!(request(&["--unverified", "--in-place", "l", "a/.."]).target, Target::InPlace);
    }

    #[test]
    fn claims_belong_to_layers_one_to_one() {
        let two = layers(&["--diff-id", DIGEST, &format!("--diff-id={DIGEST}"), "a", "b", "d"]);
        assert!(two.iter().all(|layer| layer.diff_id.is_some() && layer.blob.is_none()));
        refused(&["--diff-id", DIGEST, "a", "b", "d"], "--diff-id is given 1 times for 2 layers");
        refused(&["--blob", DIGEST, "--blob", DIGEST, "a", "d"], "--blob is given 2 times for 1 layers");
        refused(&["--unverified", "--media-type", "t", "a", "b", "d"], "--media-type is given 1 times");
    }

    #[test]
    fn claiming_nothing_has_to_be_said_and_excludes_digests() {
        refused(&["a", "d"], "no digest is claimed");
        refused(&["--media-type", "t", "a", "d"], "no digest is claimed");
        refused(&["--unverified", "--blob", DIGEST, "a", "d"], "--unverified says that nothing is claimed");
        assert_eq!(request(&["--unverified", "a", "d"]).preset, Preset::Container);
    }

    #[test]
    fn a_blob_claim_holds_a_digest_and_perhaps_a_size() {
        let sized = layers(&["--blob", &format!("{DIGEST}@12"), "a", "d"]);
        assert_eq!(sized[0].blob.map(|blob| (blob.digest.to_string(), blob.size)), Some((DIGEST.to_owned(), Some(12))));
        assert_eq!(layers(&["--blob", DIGEST, "a", "d"])[0].blob.and_then(|blob| blob.size), None);
        refused(&["--blob", &format!("{DIGEST}@-1"), "a", "d"], "the size after `@`");
        refused(&["--blob", "sha256:abc", "a", "d"], "BadDigest");
    }

    #[test]
    fn options_end_at_two_dashes_and_a_lone_dash_is_standard_input() {
        let odd = layers(&["--unverified", "--", "--json", "-", "d"]);
        assert_eq!(odd.iter().map(|layer| layer.file.clone()).collect::<Vec<_>>(), ["--json", "-"]);
        refused(&["--unverified", "-", "-", "d"], "standard input");
        assert_eq!(output(&["--".into(), "--json".into()]), Output::Text);
        assert_eq!(output(&["--nonsense".into(), "--json".into()]), Output::Json);
    }

    #[test]
    fn what_cannot_be_meant_is_a_usage_error() {
        refused(&["--nonsense"], "no option has the name --nonsense");
        refused(&["--json=1"], "--json takes no value");
        refused(&["--policy"], "--policy needs a value");
        refused(&["--policy=lax"], "--policy is");
        refused(&["--threads=0"], "--threads is");
        refused(&["--unverified", "--in-place", "--recover", "l", "d"], "nothing to recover");
        refused(&["--durable=1"], "--durable takes no value");
        refused(&["--form=tar"], "--form is");
        refused(&["--unverified", "--in-place", "--form", "overlay-user", "l", "d"], "--in-place writes one tree");
        refused(&["--limit", "entries"], "--limit is NAME=VALUE");
        refused(&["--limit", "entry=1"], "the limits are entries, total_bytes");
        refused(&["--unverified", "--image", "a", "l", "d"], "neither a LAYER nor a claim");
        refused(&["--pin", DIGEST, "--image", "a", "--blob", DIGEST, "d"], "neither a LAYER nor a claim");
        refused(&["--json"], "one LAYER or more and a DEST");
        refused(&["--unverified", "d"], "one LAYER or more and a DEST");
        assert!(matches!(parsed(&["x", "--help"]), Ok(Command::Help)));
        assert!(matches!(parsed(&[]), Ok(Command::Demo)));
    }
}
