//! Layers and diff_ids make claims in pairs.

use super::*;
use crate::blob::Expect;

/// A manifest of `layers` with its verified configuration of `diff_ids`.
fn image(layers: &[&[u8]], diff_ids: &[&[u8]]) -> (Manifest, ImageConfig) {
    let diff_ids: Vec<_> = diff_ids.iter().map(|diff_id| digest(diff_id).to_string()).collect();
    let config_json = text(&with(config(), "/rootfs/diff_ids", json!(diff_ids)));
    let layers: Vec<_> = layers.iter().map(|layer| descriptor(OCI_LAYER, layer)).collect();
    let value = with(with(manifest(), "/layers", json!(layers)), "/config", descriptor(OCI_CONFIG, &config_json));
    let manifest = parse_manifest(&value).unwrap();
    let config = ImageConfig::parse(&manifest.config().verify(&config_json).unwrap()).unwrap();
    (manifest, config)
}

#[test]
fn each_layer_is_claimed_by_digest_size_media_type_and_diff_id_in_order() {
    let (manifest, config) = image(&[b"1", b"22"], &[b"a", b"b"]);
    let claim = |layer: &[u8], diff_id: &[u8]| {
        let size = u64::try_from(layer.len()).unwrap();
        Expect::blob(digest(layer)).size(size).media_type(OCI_LAYER).unwrap().and_diff_id(digest(diff_id))
    };
    assert_eq!(manifest.claims(&config), Ok(vec![claim(b"1", b"a"), claim(b"22", b"b")]));
    let (manifest, config) = image(&[], &[]);
    assert_eq!(manifest.claims(&config), Ok(vec![]));
}

#[test]
fn more_or_fewer_diff_ids_than_layers_are_refused() {
    for (layers, diff_ids) in [(&[&b"1"[..]][..], &[][..]), (&[], &[&b"a"[..]]), (&[b"1"], &[b"a", b"a"])] {
        let (manifest, config) = image(layers, diff_ids);
        refused(manifest.claims(&config), ErrorKind::LayerCountMismatch, " layers and ");
    }
}

#[test]
fn the_configuration_of_another_manifest_is_refused() {
    let (manifest, config) = image(&[b"1"], &[b"a"]);
    let (other, _) = image(&[b"1"], &[b"b"]);
    assert!(manifest.claims(&config).is_ok());
    refused(other.claims(&config), ErrorKind::DigestMismatch, "was not verified");
}

#[test]
fn a_configuration_that_nothing_verified_is_refused() {
    let config_json = text(&config());
    let manifest = parse_manifest(&with(manifest(), "/config", descriptor(OCI_CONFIG, &config_json))).unwrap();
    let verified = ImageConfig::parse(&manifest.config().verify(&config_json).unwrap()).unwrap();
    assert!(manifest.claims(&verified).is_ok());
    let pinned = ImageConfig::parse(&Document::pinned("config", &digest(&config_json), &config_json).unwrap()).unwrap();
    assert!(manifest.claims(&pinned).is_ok());
    refused(manifest.claims(&parse_config(&config()).unwrap()), ErrorKind::DigestMismatch, "was not verified");
}
