//! Operating system, architecture and variant, and which of them runs on which: [`Platform`].

use std::fmt;

use super::fields::Fields;
use super::json::Value;
use super::shown;
use crate::error::{DescriptorPath, Error, ErrorKind};

const KEYS: &[&str] = &["architecture", "os", "os.version", "os.features", "variant", "features"];
/// Most 64-bit ARM of version 8: v8.9. A v9.N runs what v8.(N+5) runs.
const ARM64_V8_LAST: u8 = 9;

/// What an image runs on (OCI image-spec `image-index.md`, `platform`, and `config.md`).
///
/// Names are those of Go (`GOOS`, `GOARCH`); the usual others are taken for them (`x86_64`, `aarch64`, `armhf`, ...), and a variant
/// that says nothing is left out (`amd64/v1`, `arm64/v8`; `arm` alone is `v7`), as containerd does it. `os.version` is not read.
///
/// ```
/// use safe_layers::image::Platform;
/// let host = Platform::parse("linux/arm/v7")?;
/// assert!(host.runs(&Platform::parse("linux/armel")?));
/// assert!(!host.runs(&Platform::parse("linux/arm64")?));
/// assert_eq!(Platform::parse("linux/aarch64/v8")?.to_string(), "linux/arm64");
/// # Ok::<(), safe_layers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: String,
    os_features: Vec<String>,
}

impl Platform {
    /// Parses `os/architecture` or `os/architecture/variant`.
    ///
    /// # Errors
    /// [`ErrorKind::ManifestMalformed`] on anything else.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = || Error::new(ErrorKind::ManifestMalformed, format!("\"{}\" is not os/architecture[/variant]", shown(text)));
        let parts: Vec<_> = text.split('/').collect();
        if parts.iter().any(|part| part.is_empty() || part.contains(char::is_control)) {
            return Err(wrong());
        }
        match parts[..] {
            [os, architecture] => Ok(Self::normal(os, architecture, "", Vec::new())),
            [os, architecture, variant] => Ok(Self::normal(os, architecture, variant, Vec::new())),
            _ => Err(wrong()),
        }
    }

    /// What this program was compiled for. The variant of the processor is not asked.
    #[must_use]
    pub fn compiled_for() -> Self {
        let architecture = match std::env::consts::ARCH {
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "powerpc64" => "ppc64",
            "loongarch64" => "loong64",
            architecture => architecture,
        };
        Self::normal(std::env::consts::OS, architecture, "", Vec::new())
    }

    /// Reads the object `platform` of a descriptor.
    pub(super) fn read(value: &Value, at: &DescriptorPath) -> Result<Self, Error> {
        Self::of(&Fields::of(value, "the platform", KEYS, at)?)
    }

    /// Reads the platform of an object that has more keys: an image's configuration.
    pub(super) fn of(fields: &Fields<'_>) -> Result<Self, Error> {
        let (os, architecture) = (fields.required_line("os")?, fields.required_line("architecture")?);
        let features = fields.texts("os.features")?;
        Ok(Self::normal(os, architecture, fields.line("variant")?.unwrap_or_default(), features))
    }

    /// One spelling for each platform (containerd/platforms, `normalizeOS` and `normalizeArch`).
    fn normal(os: &str, architecture: &str, variant: &str, os_features: Vec<String>) -> Self {
        let [mut os, architecture, variant] = [os, architecture, variant].map(str::to_ascii_lowercase);
        if os == "macos" {
            os = "darwin".into();
        }
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("i386" | "x86", _) => ("386", ""),
            ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
            ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9"),
            ("aarch64", variant) => ("arm64", variant),
            ("armhf", _) => ("arm", "v7"),
            ("armel", _) => ("arm", "v6"),
            ("arm", "" | "7") => ("arm", "v7"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "6") => ("arm", "v6"),
            ("arm", "8") => ("arm", "v8"),
            other => other,
        };
        Self { os, architecture: architecture.into(), variant: variant.into(), os_features }
    }

    /// The operating system.
    #[must_use]
    pub fn os(&self) -> &str {
        &self.os
    }

    /// The architecture.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The variant of the architecture, if it says anything.
    #[must_use]
    pub fn variant(&self) -> Option<&str> {
        Some(self.variant.as_str()).filter(|variant| !variant.is_empty())
    }

    /// The features of the operating system that the image needs.
    #[must_use]
    pub fn os_features(&self) -> &[String] {
        &self.os_features
    }

    /// Whether a host of this platform runs an image of that one.
    #[must_use]
    pub fn runs(&self, image: &Self) -> bool {
        self.rank(image).is_some()
    }

    /// How far an image is from what this host would rather run; 0 is exactly that. None: not for it.
    ///
    /// The order of containerd/platforms (`platformVector`): lower variants of the architecture, then the 32-bit one that it runs.
    pub(super) fn rank(&self, image: &Self) -> Option<usize> {
        let features = image.os_features.iter().all(|feature| self.os_features.contains(feature));
        if self.os != image.os || !features {
            return None;
        }
        self.fallbacks().iter().position(|(architecture, variant)| image.is(architecture, variant))
    }

    fn is(&self, architecture: &str, variant: &str) -> bool {
        self.architecture == architecture && self.variant == variant
    }

    /// What a host of this platform runs, the best first, in normal form.
    fn fallbacks(&self) -> Vec<(&str, String)> {
        let own = std::iter::once((self.architecture.as_str(), self.variant.clone()));
        let number = self.variant.strip_prefix('v').and_then(|number| number.parse::<u8>().ok());
        let arm = |version: u8| ("arm", format!("v{version}"));
        match self.architecture.as_str() {
            "amd64" => {
                let lower = (2..number.unwrap_or(1)).rev().map(|version| ("amd64", format!("v{version}")));
                let plain = number.filter(|version| *version > 1).map(|_| ("amd64", String::new()));
                own.chain(lower).chain(plain).chain([("386", String::new())]).collect()
            }
            "arm" => own.chain((5..number.unwrap_or(0)).rev().map(arm)).collect(),
            "arm64" => match arm64_versions(&self.variant) {
                Some(versions) => versions.into_iter().map(|variant| ("arm64", variant)).chain((5..=8).rev().map(arm)).collect(),
                None => own.collect(),
            },
            _ => own.collect(),
        }
    }

    /// The mark of what is no image (BuildKit).
    pub(super) fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}

/// The versions of 64-bit ARM that run on one of `variant`, the best first (containerd/platforms, `arm64variantToVersion`).
fn arm64_versions(variant: &str) -> Option<Vec<String>> {
    let named = |major: u8, minor: u8| match (major, minor) {
        (8, 0) => String::new(),
        (_, 0) => format!("v{major}"),
        _ => format!("v{major}.{minor}"),
    };
    let (major, minor) = match variant.strip_prefix('v') {
        None if variant.is_empty() => (8, 0),
        None => return None,
        Some(version) => match version.split_once('.') {
            None => (version.parse().ok()?, 0),
            Some((major, minor)) => (major.parse().ok()?, minor.parse().ok()?),
        },
    };
    let below = |major: u8, minor: u8| (0..=minor).rev().map(move |minor| named(major, minor));
    match (major, minor) {
        (8, 0..=ARM64_V8_LAST) => Some(below(8, minor).collect()),
        (9, 0..=7) => Some(below(9, minor).chain(below(8, minor.saturating_add(5).min(ARM64_V8_LAST))).collect()),
        _ => None,
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", shown(&self.os), shown(&self.architecture))?;
        self.variant().map_or(Ok(()), |variant| write!(f, "/{}", shown(variant)))
    }
}

impl std::str::FromStr for Platform {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}
