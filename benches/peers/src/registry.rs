//! A registry on the loopback interface that serves one image, for a peer that takes images from nowhere else.
//!
//! It hands files from the page cache to the socket and costs next to nothing; still, what it costs is in the peer's time, as a
//! fetch is in that of containerd.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Serves `layout` until the process ends, with `manifest` (a digest) behind every tag; gives `HOST:PORT`.
pub fn serve(layout: &Path, manifest: &str) -> io::Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?.to_string();
    let (layout, manifest) = (layout.to_owned(), manifest.to_owned());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (layout, manifest) = (layout.clone(), manifest.clone());
            // A peer that hangs up says so itself.
            std::thread::spawn(move || answer(stream, &layout, &manifest).ok());
        }
    });
    Ok(address)
}

/// Answers one request and closes: a peer asks three times.
fn answer(mut stream: TcpStream, layout: &Path, manifest: &str) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let found = if path.contains("/manifests/") {
        Some((MANIFEST_TYPE, blob(layout, manifest)))
    } else {
        path.rsplit_once("/blobs/").map(|(_, digest)| ("application/octet-stream", blob(layout, digest)))
    };
    let Some((kind, Ok(mut file))) = found.map(|(kind, path)| (kind, File::open(path))) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let length = file.metadata()?.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    io::copy(&mut file, &mut stream)?;
    Ok(())
}

/// The file of a digest; of anything else, one that is not there.
fn blob(layout: &Path, digest: &str) -> PathBuf {
    let hex = digest.strip_prefix("sha256:").filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    layout.join("blobs/sha256").join(hex.unwrap_or("none"))
}
