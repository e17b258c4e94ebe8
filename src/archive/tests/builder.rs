//! Builds archives byte by byte, malformed ones too.

/// A header block in the making.
#[derive(Clone)]
pub(super) struct Header([u8; 512]);

pub(super) const USTAR: &[u8; 8] = b"ustar\x0000";
pub(super) const GNU: &[u8; 8] = b"ustar  \0";
pub(super) const V7: &[u8; 8] = &[0; 8];

impl Header {
    /// An ordinary header: mode 0644, owner 1000:1001, time 1,000,000,000.
    pub(super) fn new(magic: &[u8; 8], typeflag: u8, name: &str) -> Self {
        Self([0; 512])
            .put(0, name.as_bytes())
            .put(100, b"0000644\0")
            .put(108, b"0001750\0")
            .put(116, b"0001751\0")
            .put(124, b"00000000000\0")
            .put(136, b"07346545000\0")
            .put(156, &[typeflag])
            .put(257, magic)
            .put(329, if magic == V7 { b"" } else { b"0000000\0" })
            .put(337, if magic == V7 { b"" } else { b"0000000\0" })
    }

    pub(super) fn put(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(super) fn link(self, link: &str) -> Self {
        self.put(157, link.as_bytes())
    }

    pub(super) fn size(self, size: u64) -> Self {
        self.put(124, format!("{size:011o}\0").as_bytes())
    }

    /// The block, its checksum taken by `sum` of all bytes with the field as spaces.
    fn summed(mut self, sum: impl Fn(&[u8]) -> i64) -> Vec<u8> {
        self.0[148..156].fill(b' ');
        let sum = sum(&self.0);
        self.put(148, format!("{sum:06o}\0 ").as_bytes()).0.to_vec()
    }

    pub(super) fn block(self) -> Vec<u8> {
        self.summed(|bytes| bytes.iter().map(|byte| i64::from(*byte)).sum())
    }

    pub(super) fn signed_block(self) -> Vec<u8> {
        self.summed(|bytes| bytes.iter().map(|byte| i64::from(byte.cast_signed())).sum())
    }

    /// The block with `checksum` in its field.
    pub(super) fn checksum(self, checksum: &[u8; 8]) -> Vec<u8> {
        self.put(148, checksum).0.to_vec()
    }

    /// The block with the size of `body`, and the body.
    pub(super) fn body(self, body: &[u8]) -> Vec<u8> {
        let size = body.len() as u64;
        self.size(size).with(body)
    }

    /// The block as it is, and `body` padded.
    pub(super) fn with(self, body: &[u8]) -> Vec<u8> {
        [self.block(), padded(body)].concat()
    }
}

pub(super) fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(512), 0);
    padded
}

pub(super) fn file(name: &str) -> Header {
    Header::new(USTAR, b'0', name)
}

/// A whole archive: parts and two zero blocks.
pub(super) fn archive(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), vec![0; 1024]].concat()
}

/// An `x` header.
pub(super) fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    raw_pax(&pax_payload(records))
}

pub(super) fn raw_pax(payload: &[u8]) -> Vec<u8> {
    Header::new(USTAR, b'x', "PaxHeaders/x").body(payload)
}

pub(super) fn global(records: &[(&str, &[u8])]) -> Vec<u8> {
    Header::new(USTAR, b'g', "GlobalHead").body(&pax_payload(records))
}

pub(super) fn pax_payload(records: &[(&str, &[u8])]) -> Vec<u8> {
    records.iter().flat_map(|(key, value)| pax_record(key, value)).collect()
}

fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
    let mut len = rest.len();
    while len != rest.len() + len.to_string().len() {
        len = rest.len() + len.to_string().len();
    }
    [len.to_string().as_bytes(), &rest].concat()
}

pub(super) fn long_name(payload: &[u8]) -> Vec<u8> {
    Header::new(GNU, b'L', "././@LongLink").body(payload)
}

pub(super) fn long_link(payload: &[u8]) -> Vec<u8> {
    Header::new(GNU, b'K', "././@LongLink").body(payload)
}

/// Base-256 in a field of `len` bytes.
pub(super) fn base256(number: i128, len: usize) -> Vec<u8> {
    let mut field = number.to_be_bytes()[16 - len..].to_vec();
    field[0] |= 0x80;
    field
}
