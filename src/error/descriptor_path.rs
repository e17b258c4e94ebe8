//! Which link of the chain of documents is meant: [`DescriptorPath`].

#![cfg_attr(not(feature = "image"), allow(dead_code, reason = "made only where documents are parsed"))]

use std::fmt;

/// The way from the first document to what one of its descriptors names: `index.json → manifests[2] → config`.
///
/// Once you hold one, it holds no text of the documents: only names of fields that this crate knows, and places in lists.
///
/// ```
/// # #[cfg(feature = "image")] {
/// use safe_layers::image::{Document, Index};
/// let bytes = br#"{"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 7}]}"#;
/// let error = Index::parse(&Document::dangerous_unverified("index.json", bytes)).unwrap_err();
/// assert_eq!(error.descriptor_path().unwrap().to_string(), "index.json → manifests[0]");
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorPath(Vec<Step>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Document(&'static str),
    Field(&'static str),
    Item(&'static str, u64),
}

impl DescriptorPath {
    /// The first document: it has no descriptor.
    pub(crate) fn document(name: &'static str) -> Self {
        Self(vec![Step::Document(name)])
    }

    /// What the field `name` of this document holds.
    #[must_use]
    pub(crate) fn field(&self, name: &'static str) -> Self {
        self.then(Step::Field(name))
    }

    /// What stands at `index`, counted from 0, in the list `name` of this document.
    #[must_use]
    pub(crate) fn item(&self, name: &'static str, index: u64) -> Self {
        self.then(Step::Item(name, index))
    }

    /// How many descriptors lie between the first document and this place.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.len().saturating_sub(1)
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for DescriptorPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(" → ")?;
            }
            match step {
                Step::Document(name) | Step::Field(name) => f.write_str(name)?,
                Step::Item(name, index) => write!(f, "{name}[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for DescriptorPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_from_the_first_document_to_the_place() {
        let index = DescriptorPath::document("index.json");
        let config = index.item("manifests", 2).field("config");
        assert_eq!(index.to_string(), "index.json");
        assert_eq!(config.to_string(), "index.json → manifests[2] → config");
        assert_eq!((index.depth(), config.depth()), (0, 2));
    }
}
