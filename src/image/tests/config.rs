//! A configuration says which layers there are and how to run them.

use super::*;

#[test]
fn diff_ids_and_platform_are_read() {
    let config = parse_config(&config()).unwrap();
    assert_eq!(config.diff_ids(), [digest(b"layer one"), digest(b"layer two")]);
    assert_eq!(config.platform(), &Platform::parse("linux/amd64").unwrap());
    let chain = format!("{} {}", digest(b"layer one"), digest(b"layer two"));
    assert_eq!(config.chain_id(), Some(digest(chain.as_bytes())));
    assert_eq!((config.run(), config.notices()), (&RunConfig::default(), &[][..]));
}

#[test]
fn system_and_architecture_are_there() {
    for key in ["/os", "/architecture", "/rootfs"] {
        refused(parse_config(&without(config(), key)), ErrorKind::ManifestMalformed, "is missing");
        refused(parse_config(&with(config(), key, json!(7))), ErrorKind::ManifestMalformed, "is not");
    }
    let arm = with(with(config(), "/architecture", json!("arm")), "/variant", json!("v6"));
    assert_eq!(parse_config(&arm).unwrap().platform().to_string(), "linux/arm/v6");
}

#[test]
fn the_root_filesystem_is_of_type_layers() {
    refused(parse_config(&without(config(), "/rootfs/type")), ErrorKind::ManifestMalformed, "`type` is missing");
    for other in ["layers+base", "Layers", ""] {
        refused(parse_config(&with(config(), "/rootfs/type", json!(other))), ErrorKind::ManifestMalformed, "");
    }
}

#[test]
fn each_diff_id_is_a_digest() {
    for (value, kind) in [
        (json!("sha256:00"), ErrorKind::BadDigest),
        (json!("x"), ErrorKind::BadDigest),
        (json!(7), ErrorKind::ManifestMalformed),
        (Value::Null, ErrorKind::ManifestMalformed),
    ] {
        refused(parse_config(&with(config(), "/rootfs/diff_ids/1", value)), kind, "");
    }
    let sha512 = format!("sha512:{}", "0a".repeat(64));
    assert_eq!(parse_config(&with(config(), "/rootfs/diff_ids/1", json!(sha512))).unwrap().diff_ids()[1].to_string(), sha512);
    refused(parse_config(&with(config(), "/rootfs/diff_ids", json!({}))), ErrorKind::ManifestMalformed, "`diff_ids`");
}

#[test]
fn an_image_without_layers_may_have_no_diff_ids() {
    for value in [without(config(), "/rootfs/diff_ids"), with(config(), "/rootfs/diff_ids", Value::Null)] {
        let config = parse_config(&value).unwrap();
        assert_eq!((config.diff_ids(), config.chain_id()), (&[][..], None));
    }
}

#[test]
fn fields_of_another_form_are_refused_whatever_they_hold() {
    for key in ["manifests", "layers", "fsLayers", "schemaVersion"] {
        for value in [json!([]), json!(2), Value::Null] {
            refused(parse_config(&with(config(), &format!("/{key}"), value)), ErrorKind::AmbiguousManifest, key);
        }
    }
}

#[test]
fn a_history_that_tells_of_another_number_of_layers_is_told() {
    let history = |entries: Value| parse_config(&with(config(), "/history", entries));
    let (full, empty) = (json!({"created_by": "x"}), json!({"empty_layer": true}));
    for fitting in [json!([full, empty, full]), json!([full, {"empty_layer": false}]), json!([full, {"empty_layer": null}]), json!([])] {
        assert_eq!(history(fitting).unwrap().notices(), []);
    }
    for other in [json!([full]), json!([empty]), json!([full, full, full])] {
        let reasons: Vec<_> = history(other).unwrap().notices().iter().map(|notice| notice.reason).collect();
        assert_eq!(reasons, [NoticeReason::HistoryDiffers]);
    }
    refused(history(json!([{"empty_layer": 1}])), ErrorKind::ManifestMalformed, "`empty_layer`");
    refused(history(json!([7])), ErrorKind::ManifestMalformed, "not an object");
    refused(history(json!({})), ErrorKind::ManifestMalformed, "`history`");
}

#[test]
fn how_to_run_it_is_read() {
    let run = json!({
        "User": "1000:1000", "Env": ["PATH=/bin", "A=b=c", "ALONE", "PATH=/usr/bin"], "Entrypoint": ["/init"], "Cmd": ["-x", ""],
        "WorkingDir": "/srv/../x", "StopSignal": "SIGRTMIN+3", "Labels": {"b": "2", "a": ""},
        "ExposedPorts": {"80/tcp": {}, "53": null}, "Volumes": {"/data": {}}, "Hostname": "ignored", "Healthcheck": {"Test": []},
    });
    let config = parse_config(&with(config(), "/config", run)).unwrap();
    let expected = RunConfig {
        user: Some("1000:1000".into()),
        env: ["PATH=/bin", "A=b=c", "ALONE", "PATH=/usr/bin"].map(String::from).into(),
        entrypoint: vec!["/init".into()],
        cmd: vec!["-x".into(), String::new()],
        working_dir: Some("/srv/../x".into()),
        stop_signal: Some("SIGRTMIN+3".into()),
        labels: [("a".into(), String::new()), ("b".into(), "2".into())].into(),
        exposed_ports: vec!["53".into(), "80/tcp".into()],
        volumes: vec!["/data".into()],
    };
    assert_eq!(config.run(), &expected);
}

#[test]
fn null_and_empty_are_as_none() {
    let empty = json!({"User": "", "Env": null, "Entrypoint": [], "Cmd": null, "WorkingDir": "", "StopSignal": null, "Labels": {}, "Volumes": null});
    for run in [json!({}), Value::Null, empty] {
        assert_eq!(parse_config(&with(config(), "/config", run)).unwrap().run(), &RunConfig::default());
    }
}

#[test]
fn what_is_of_the_wrong_type_or_holds_a_nul_is_refused() {
    for (key, value) in [
        ("User", json!(0)),
        ("User", json!("a\0b")),
        ("Env", json!({"A": "b"})),
        ("Env", json!(["A=b", 7])),
        ("Env", json!(["A=b\0c"])),
        ("Entrypoint", json!("/bin/sh")),
        ("Cmd", json!([["/bin/sh"]])),
        ("Cmd", json!(["\0"])),
        ("WorkingDir", json!(["/"])),
        ("WorkingDir", json!("/\0")),
        ("StopSignal", json!(9)),
        ("Labels", json!({"a": 1})),
        ("Labels", json!(["a"])),
        ("ExposedPorts", json!(["80/tcp"])),
        ("ExposedPorts", json!({"80/tcp": {"x": 1}})),
        ("Volumes", json!({"/a": true})),
        ("Volumes", json!({"/a\0": {}})),
    ] {
        refused(parse_config(&with(config(), "/config", json!({key: value}))), ErrorKind::ManifestMalformed, &format!("`{key}`"));
    }
    refused(parse_config(&with(config(), "/config", json!([]))), ErrorKind::ManifestMalformed, "not an object");
}

#[test]
fn unknown_fields_are_left_alone() {
    let docker = with(with(config(), "/container_config", json!({"cmd": 1})), "/docker_version", json!("1.13"));
    assert_eq!(parse_config(&docker), parse_config(&config()));
}
