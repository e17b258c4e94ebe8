//! The caller's buffer while it is being filled: [`Output`].

/// Where decoded bytes go, and how many went there.
#[derive(Debug)]
pub(super) struct Output<'a> {
    buffer: &'a mut [u8],
    written: usize,
}

impl<'a> Output<'a> {
    pub(super) fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, written: 0 }
    }

    pub(super) fn written(&self) -> &[u8] {
        self.buffer.get(..self.written).unwrap_or_default()
    }

    pub(super) fn room(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.written..).unwrap_or_default()
    }

    pub(super) fn is_full(&self) -> bool {
        self.written >= self.buffer.len()
    }

    pub(super) fn advance(&mut self, count: usize) {
        self.written = self.written.saturating_add(count).min(self.buffer.len());
    }
}
