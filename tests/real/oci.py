#!/usr/bin/env python3
"""Image layouts, change sets and whiteouts for the scripts here, with nothing but the standard library.

    oci.py changeset UPPER                  turns an overlay's upper directory into a change set, and lists it in order for tar
    oci.py layout DIR ARCH TAG LAYER...     writes an OCI layout with an image of these layers, and prints its TAG, the digest of its
                                            manifest and its chain id; `--` and the next TAG may follow
    oci.py clear TREE LAYER                 removes from TREE what the markers and the type changes of LAYER take away
    oci.py digests LAYOUT TAG               prints the digests of the manifest and of the configuration of an image
    oci.py docker-list LAYOUT NAME          adds the list of a docker-archive to a layout with one image, as `docker save` does
    oci.py docker-id ARCHIVE                prints the digest of the configuration of the one image of a docker-archive
    oci.py run BUNDLE WORD...               has a bundle run this command, without a terminal
    oci.py flip FILE                        changes the byte in the middle of a file
    oci.py expected CASES LISTS             compares each CASES/CASE/expected.txt with LISTS/CASE, as `manifest list` writes it
"""
import functools
import gzip
import hashlib
import json
import os
import shutil
import stat
import sys
import tarfile

OPAQUE = b".wh..wh..opq"
OCI = "application/vnd.oci.image."


def main(words):
    verbs = {
        "changeset": changeset,
        "layout": layout,
        "digests": lambda layout, tag: print(*digests(layout, tag)),
        "docker-list": docker_list,
        "docker-id": docker_id,
        "run": run,
        "flip": flip,
        "clear": clear,
        "expected": expected,
    }
    if not words or words[0] not in verbs:
        sys.exit(__doc__)
    verbs[words[0]](*words[1:])


def run(bundle, *words):
    path = os.path.join(bundle, "config.json")
    with open(path) as config:
        value = json.load(config)
    value["process"].update(args=words, terminal=False)
    with open(path, "w") as config:
        json.dump(value, config)


def changeset(upper):
    """Directories come before what is in them, an opaque marker right after its directory, as writers of layers do it."""
    upper = os.fsencode(upper)
    for directory, names, others in os.walk(upper):
        before = os.stat(directory)
        for name in others:
            found = os.lstat(os.path.join(directory, name))
            if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
                os.unlink(os.path.join(directory, name))
                marker(directory, b".wh." + name)
        if "trusted.overlay.opaque" in os.listxattr(directory):
            marker(directory, OPAQUE)
        os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))
    sys.stdout.buffer.write(b"".join(name + b"\0" for name in sorted(walk(upper, b"."), key=lambda name: name.split(b"/"))))


def marker(directory, name):
    with open(os.path.join(directory, name), "xb") as made:
        os.utime(made.fileno(), (0, 0))


def walk(directory, inside):
    yield inside
    for entry in os.scandir(directory):
        name = entry.name if inside == b"." else os.path.join(inside, entry.name)
        if entry.is_dir(follow_symlinks=False):
            yield from walk(entry.path, name)
        else:
            yield name


def layout(directory, architecture, *words):
    blobs = os.path.join(directory, "blobs", "sha256")
    os.makedirs(blobs, exist_ok=True)
    images, image = [], []
    for word in [*words, "--"]:
        if word == "--":
            images.append(write_image(blobs, architecture, image[0], image[1:]))
            image = []
        else:
            image.append(word)
    write_json(os.path.join(directory, "oci-layout"), {"imageLayoutVersion": "1.0.0"})
    write_json(os.path.join(directory, "index.json"), {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": images})


def write_image(blobs, architecture, tag, layers):
    descriptors = [add_blob(blobs, "layer.v1.tar" + ("+gzip" if is_gzip(layer) else ""), read(layer)) for layer in layers]
    diff_ids = [digest(gzip.decompress(read(layer)) if is_gzip(layer) else read(layer)) for layer in layers]
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created": "1970-01-01T00:00:00Z"} for _ in layers],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI + "manifest.v1+json",
        "config": add_blob(blobs, "config.v1+json", json.dumps(config).encode()),
        "layers": descriptors,
    }
    descriptor = add_blob(blobs, "manifest.v1+json", json.dumps(manifest).encode())
    print(tag, descriptor["digest"], functools.reduce(lambda chain, diff_id: digest(f"{chain} {diff_id}".encode()), diff_ids))
    platform = {"architecture": architecture, "os": "linux"}
    return descriptor | {"platform": platform, "annotations": {"org.opencontainers.image.ref.name": tag}}


def add_blob(blobs, kind, data):
    with open(os.path.join(blobs, digest(data).removeprefix("sha256:")), "wb") as out:
        out.write(data)
    return {"mediaType": OCI + kind, "digest": digest(data), "size": len(data)}


def digests(directory, tag):
    for manifest in read_json(directory, "index.json")["manifests"]:
        if tag in (None, manifest.get("annotations", {}).get("org.opencontainers.image.ref.name")):
            return manifest["digest"], read_json(directory, blob(manifest["digest"]))["config"]["digest"]
    sys.exit(f"no image is called {tag}")


def docker_list(directory, name):
    manifest, config = digests(directory, None)
    layers = [blob(layer["digest"]) for layer in read_json(directory, blob(manifest))["layers"]]
    write_json(os.path.join(directory, "manifest.json"), [{"Config": blob(config), "RepoTags": [name], "Layers": layers}])


def docker_id(archive):
    with tarfile.open(archive) as archive:
        [image] = json.load(archive.extractfile("manifest.json"))
        print(digest(archive.extractfile(image["Config"]).read()))


def flip(path):
    with open(path, "r+b") as file:
        middle = os.path.getsize(path) // 2
        file.seek(middle)
        byte = file.read(1)[0]
        file.seek(middle)
        file.write(bytes([byte ^ 1]))


def blob(digest):
    return "blobs/" + digest.replace(":", "/")


def read_json(directory, name):
    return json.loads(read(os.path.join(directory, name)))


def is_gzip(layer):
    return layer.endswith(".gz")


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write_json(path, value):
    with open(path, "w") as out:
        json.dump(value, out)


def clear(tree, layer):
    """For unpackers that know no layers. A marker behind a symlink is an error, so that nothing outside TREE is ever removed."""
    tree = os.fsencode(tree)
    with tarfile.open(layer, encoding="utf-8", errors="surrogateescape") as archive:
        entries = [(os.fsencode(member.name), member.isdir()) for member in archive]
    entries = [([part for part in name.split(b"/") if part not in (b"", b".")], is_dir) for name, is_dir in entries]
    for parts, is_dir in entries:
        path = os.path.join(tree, *parts)
        if not is_marker(parts) and not behind_a_link(tree, parts) and os.path.lexists(path) and is_directory(path) != is_dir:
            remove(path)
    for parts, _ in filter(lambda entry: is_marker(entry[0]), entries):
        if behind_a_link(tree, parts):
            sys.exit(f"clear: a marker behind a link: {parts}")
        parent = os.path.join(tree, *parts[:-1])
        hidden = [parts[-1].removeprefix(b".wh.")] if parts[-1] != OPAQUE else os.listdir(parent) if is_directory(parent) else []
        for name in hidden:
            remove(os.path.join(parent, name))


def is_marker(parts):
    return parts != [] and parts[-1].startswith(b".wh.")


def behind_a_link(tree, parts):
    return b".." in parts or any(os.path.islink(os.path.join(tree, *parts[:end])) for end in range(1, len(parts)))


def is_directory(path):
    return os.path.isdir(path) and not os.path.islink(path)


def remove(path):
    if is_directory(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def expected(cases, lists):
    different = 0
    for case in sorted(os.listdir(cases)):
        want = os.path.join(cases, case, "expected.txt")
        if os.path.exists(want):
            got = os.path.join(lists, case)
            want = {unescaped(line[0]): tuple(map(unescaped, line[1:])) for line in fields(want)}
            got = {unescaped(line[0]): as_expected(line[1:]) for line in (fields(got) if os.path.exists(got) else [])}
            for name in sorted(name for name in want.keys() | got.keys() if want.get(name) != got.get(name)):
                print(f"{case}: {name!r}: expected {want.get(name)}, found {got.get(name)}")
                different = 1
    sys.exit(different)


def fields(path):
    return [line.split("\t") for line in read(path).decode().splitlines()]


def unescaped(text):
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def as_expected(words):
    have = dict(word.split("=", 1) for word in words)
    kind = {"directory": "d", "file": "f", "symlink": "l", "fifo": "p"}.get(have["type"], have["type"])
    what = have.get("size", have.get("target", "-"))
    return tuple(map(unescaped, (kind, have["mode"], have["uid"], have["gid"], what, have["mtime"])))


if __name__ == "__main__":
    main(sys.argv[1:])
