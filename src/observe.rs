//! What an unpack tells: [`Event`]s for everything skipped or changed, [`Progress`], [`LayerReport`], and the caller's [`CancelToken`].

#[cfg(feature = "serde")]
mod json;
mod report;

pub use report::{Compression, EntryCounts, Events, LayerReport, Verified};

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::{Error, ErrorKind, Location};

/// Declares [`Reason`] with the meaning of each in one table.
macro_rules! reasons {
    ($($reason:ident $doc:literal,)*) => {
        /// Why something of a layer was skipped, changed or read generously.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        #[non_exhaustive]
        pub enum Reason { $(#[doc = $doc] $reason,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$reason,)*];

            /// The name, as in JSON.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$reason => stringify!($reason),)* }
            }
        }
    };
}

reasons! {
    AbsoluteNameStripped "The leading `/` of a name was stripped.",
    TrailingSlashStripped "The trailing `/` of a name that is no directory was stripped.",
    LongNameTwice "GNU and PAX records gave the same long name.",
    ExtensionRepeated "Two extension headers of one kind for one entry: the last was taken.",
    PaxKeyRepeated "A PAX key stood twice: the last was taken.",
    SizeFromPax "The PAX size differs from the header's: PAX was taken.",
    ExtensionInV7Header "A PAX header came in a v7 header block.",
    GlobalPaxIgnored "A key of a global PAX header was ignored.",
    SignedChecksum "A header's checksum is a sum of signed bytes.",
    BlankNumber "A blank number field was read as 0.",
    EmptyPaxValue "An empty PAX value unset a standard key.",
    UnknownPaxKey "A PAX key that is not known was ignored.",
    PaxKeyDropped "A PAX key that is never applied was dropped (ACL as text, SELinux label, file flags).",
    ModeTypeBits "File type bits in a mode field were ignored.",
    EndOfArchiveMissing "The archive ended without two zero blocks.",
    TrailingDataIgnored "Bytes after the end of the archive were hashed and ignored.",
    TrailingZeros "Zeros after the last gzip member were ignored.",
    EmptyBlob "The blob is empty, and so is the layer.",
    DuplicateEntry "An earlier entry of the layer stood at the same place and was replaced.",
    NonDirectoryReplaced "Something that is no directory was replaced by a directory that an entry needs.",
    ImplicitParent "A directory was made that has no entry.",
    LowerUnknown "A directory that a lower layer may hold got the attributes of a new one: the lower layers were not given.",
    CopiedUp "Something of a lower layer was copied into this one, for a hardlink to it.",
    DeviceSkipped "A device was skipped.",
    UnknownTypeSkipped "An entry of an unknown type was skipped.",
    AufsMetadataSkipped "An AUFS metadata entry (`.wh..wh.`) was skipped.",
    OddMarker "A whiteout that is not an empty regular file was honoured.",
    HardlinkToSkipped "A hardlink was skipped because its target was.",
    HardlinkToItself "A hardlink to its own name was ignored.",
    HardlinkMetadataIgnored "A hardlink's header disagrees with its inode, which was kept.",
    HardlinkSuperseded "A hardlink that waited for its target was dropped: a later entry took its name.",
    SpecialBitsStripped "setuid, setgid or sticky bits were stripped.",
    OwnerSquashed "An owner that has no mapping was squashed.",
    XattrDropped "An extended attribute outside the allow-list was dropped.",
    XattrOnSpecialDropped "An extended attribute of a symlink, FIFO or device was dropped.",
    XattrUnsupported "The filesystem or the caller's privilege refused an extended attribute.",
    TimeClamped "A time was clamped to what the filesystem holds.",
    TimeReplaced "A time was replaced, as the policy says.",
    TimeNotRestored "A directory that was only passed through and is not the caller's keeps its new time.",
}

/// One thing skipped, changed or read generously, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Why.
    pub reason: Reason,
    /// Where.
    pub location: Location,
    /// What, where the reason alone does not say it: the key, the old and the new value. May be empty.
    pub detail: String,
}

impl Event {
    /// Adds every part of `location` that is not known yet.
    pub(crate) fn located(mut self, location: &Location) -> Self {
        self.location.fill_from(location);
        self
    }
}

/// What becomes of a layer that is readable but not quite as the format wants it: the columns of the dialect rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Oddities {
    /// Refuse it: for archives with no right to surprise.
    Refuse,
    /// Read it in the one documented way, with an event: real images hold all of them.
    Tolerate,
}

/// Collects the events of a parser, which knows offsets but neither entry nor path.
#[derive(Debug)]
pub(crate) struct Notes {
    oddities: Oddities,
    events: Vec<Event>,
}

impl Notes {
    pub(crate) fn new(oddities: Oddities) -> Self {
        Self { oddities, events: Vec::new() }
    }

    /// Notes something odd at `offset`: an event with `reason` where oddities are tolerated, else an error of `kind`.
    pub(crate) fn odd(&mut self, reason: Reason, kind: ErrorKind, offset: u64, detail: impl Into<String>) -> Result<(), Error> {
        self.odd_by(self.oddities, (reason, kind), offset, detail)
    }

    /// As [`odd`](Self::odd), by another knob.
    pub(crate) fn odd_by(
        &mut self,
        oddities: Oddities,
        (reason, kind): (Reason, ErrorKind),
        offset: u64,
        detail: impl Into<String>,
    ) -> Result<(), Error> {
        match oddities {
            Oddities::Refuse => Err(Error::new(kind, detail.into()).at_offset(offset)),
            Oddities::Tolerate => {
                self.note(reason, offset, detail);
                Ok(())
            }
        }
    }

    /// Notes an event that no policy refuses.
    pub(crate) fn note(&mut self, reason: Reason, offset: u64, detail: impl Into<String>) {
        let location = Location { offset: Some(offset), ..Location::default() };
        self.events.push(Event { reason, location, detail: detail.into() });
    }

    /// Gives the events collected since the last call.
    pub(crate) fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

/// How far an apply is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The layer, counted from 0.
    pub layer: u64,
    /// Bytes read from the blob.
    pub blob_bytes: u64,
    /// Bytes decoded.
    pub decoded_bytes: u64,
    /// Entries seen.
    pub entries: u64,
}

/// Hears what happens, as it happens, on the thread that applies.
///
/// Where layers are [side by side](crate::Unpacker::apply_all), one call at a time, of the layers in turns; those of one layer in order.
pub trait Observer {
    /// Hears each event: all of them, whatever [`Limits::events`](crate::Limits) says.
    fn event(&mut self, layer: u64, event: &Event) {
        let _ = (layer, event);
    }

    /// Hears the progress, after each piece of decoded bytes (256 KiB at most).
    fn progress(&mut self, progress: &Progress) {
        let _ = progress;
    }
}

/// Cancels an unpack from another thread. Clones share one switch.
///
/// Checked between pieces of decoded bytes: it cannot interrupt the caller's `Read`.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Makes a token that is not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels. Cannot be taken back.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`cancel`](Self::cancel) was called on a clone.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_cancelled() { Err(Error::new(ErrorKind::Cancelled, "cancelled by the caller")) } else { Ok(()) }
    }
}

/// Passes events to the report of the layer and to the caller's observer.
pub(crate) struct Log {
    layer: u64,
    cap: u64,
    events: Events,
    /// The entry that is worked on.
    location: Location,
    /// None hears nothing.
    observer: Option<Arc<Mutex<Box<dyn Observer + Send>>>>,
}

impl Log {
    pub(crate) fn new(cap: u64) -> Self {
        Self { layer: 0, cap, events: Events::default(), location: Location::default(), observer: None }
    }

    pub(crate) fn set_observer(&mut self, observer: Box<dyn Observer + Send>) {
        self.observer = Some(Arc::new(Mutex::new(observer)));
    }

    /// For a layer that is at work beside others: the observer is the same.
    pub(crate) fn beside(&self, layer: u64) -> Self {
        Self { layer, observer: self.observer.clone(), ..Self::new(self.cap) }
    }

    /// Tells the observer, if there is one. One that panicked hears nothing more.
    fn tell(&self, tell: impl FnOnce(&mut dyn Observer)) {
        if let Some(Ok(mut observer)) = self.observer.as_ref().map(|observer| observer.lock()) {
            tell(&mut **observer);
        }
    }

    /// How many events are kept in full for a layer.
    pub(crate) fn cap(&self) -> u64 {
        self.cap
    }

    /// Begins a layer.
    pub(crate) fn begin(&mut self, layer: u64) {
        self.layer = layer;
        self.events = Events::default();
        self.location = Location::default();
    }

    /// Says which entry is worked on.
    pub(crate) fn set_location(&mut self, location: Location) {
        self.location = location;
    }

    /// The entry that is worked on.
    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    /// Notes something about the entry that is worked on.
    pub(crate) fn note(&mut self, reason: Reason, detail: impl Into<String>) {
        self.record(Event { reason, location: self.location.clone(), detail: detail.into() });
    }

    /// Records what a parser noted about the entry that is worked on.
    pub(crate) fn record_here(&mut self, event: Event) {
        self.record(event.located(&self.location));
    }

    pub(crate) fn record(&mut self, event: Event) {
        self.tell(|observer| observer.event(self.layer, &event));
        self.events.record(event, self.cap);
    }

    pub(crate) fn progress(&self, progress: &Progress) {
        self.tell(|observer| observer.progress(progress));
    }

    /// Gives the events of the layer.
    pub(crate) fn end(&mut self) -> Events {
        std::mem::take(&mut self.events)
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("layer", &self.layer).field("events", &self.events).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(reason: Reason) -> Event {
        Event { reason, location: Location::default(), detail: String::new() }
    }

    #[test]
    fn counts_stay_exact_when_no_more_events_are_kept() {
        let mut events = Events::default();
        for _ in 0..5 {
            events.record(event(Reason::BlankNumber), 2);
        }
        events.record(event(Reason::OddMarker), 2);
        assert_eq!(events.count(Reason::BlankNumber), 5);
        assert_eq!(events.count(Reason::OddMarker), 1);
        assert_eq!(events.count(Reason::EmptyBlob), 0);
        assert_eq!(events.first(), [event(Reason::BlankNumber), event(Reason::BlankNumber)]);
    }

    #[test]
    fn a_reason_has_the_name_that_it_has_in_code_and_no_other_has_it() {
        let names: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        assert!(Reason::ALL.iter().all(|reason| reason.as_str() == format!("{reason:?}")));
    }

    #[test]
    fn a_clone_of_a_token_cancels_the_original() {
        let token = CancelToken::new();
        assert_eq!(token.check(), Ok(()));
        token.clone().cancel();
        assert_eq!(token.check().map_err(|e| e.kind()), Err(ErrorKind::Cancelled));
    }
}
