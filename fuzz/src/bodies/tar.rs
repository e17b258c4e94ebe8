//! Writes archives; shares no code with the parser (POSIX pax, *ustar Interchange Format* and *pax Header Block*).

pub const BLOCK: usize = 512;

/// One entry, mode 0644 and time 0 unless patched.
pub struct Header<'a> {
    pub typeflag: u8,
    pub name: &'a [u8],
    pub link: &'a [u8],
    pub mode: u32,
    pub mtime: u32,
    /// Major and minor.
    pub device: (u32, u32),
    pub size: usize,
}

impl<'a> Header<'a> {
    pub fn of(typeflag: u8, name: &'a [u8]) -> Self {
        Self { typeflag, name, link: b"", mode: 0o644, mtime: 0, device: (0, 0), size: 0 }
    }

    /// The block. Names are cut at 100 bytes.
    pub fn block(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name[..self.name.len().min(100)]);
        put(100, format!("{:07o}\0{:07o}\0{:07o}\0", self.mode, 0, 0).as_bytes());
        put(124, format!("{:011o}\0{:011o}\0", self.size, self.mtime).as_bytes());
        put(156, &[self.typeflag]);
        put(157, &self.link[..self.link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(329, format!("{:07o}\0{:07o}\0", self.device.0, self.device.1).as_bytes());
        sum(&mut block);
        block
    }
}

/// Makes the checksum right.
pub fn sum(block: &mut [u8; BLOCK]) {
    block[148..156].fill(b' ');
    let sum = block.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// Pads to whole blocks.
pub fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
}

/// Appends an entry and its body.
pub fn push(archive: &mut Vec<u8>, header: Header<'_>, body: &[u8]) {
    archive.extend(Header { size: body.len(), ..header }.block());
    archive.extend(body);
    pad(archive);
}

/// Appends an entry, its long names and attributes in a PAX header before it.
pub fn push_with_pax(archive: &mut Vec<u8>, header: Header<'_>, xattrs: &[(&[u8], &[u8])], body: &[u8]) {
    let mut records = Vec::new();
    for (name, value) in xattrs {
        records.extend(record(&[b"SCHILY.xattr.", *name].concat(), value));
    }
    push_with_records(archive, header, records, body);
}

/// Appends an entry, its long names and these records in a PAX header before it.
pub fn push_with_records(archive: &mut Vec<u8>, header: Header<'_>, mut records: Vec<u8>, body: &[u8]) {
    if header.name.len() > 100 {
        records.extend(record(b"path", header.name));
    }
    if header.link.len() > 100 {
        records.extend(record(b"linkpath", header.link));
    }
    if !records.is_empty() {
        push(archive, Header::of(b'x', b"x"), &records);
    }
    push(archive, header, body);
}

/// The two zero blocks at the end.
pub fn end(archive: &mut Vec<u8>) {
    archive.extend([0; 2 * BLOCK]);
}

/// One PAX record, its length computed.
pub fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    with_len(&[key, b"=", value].concat())
}

/// A PAX record of `text`, which need not hold a `=`.
pub fn with_len(text: &[u8]) -> Vec<u8> {
    let rest = text.len() + 2;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    [len.to_string().as_bytes(), b" ", text, b"\n"].concat()
}

/// An ACL of version 2: owner, group and others.
pub fn acl() -> Vec<u8> {
    let entries = [(1_u16, 7_u16), (4, 5), (32, 0)];
    let entries = entries.iter().flat_map(|(tag, perm)| [tag.to_le_bytes(), perm.to_le_bytes(), [0xff; 2], [0xff; 2]].concat());
    2_u32.to_le_bytes().into_iter().chain(entries).collect()
}
