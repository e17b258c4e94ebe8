//! Loss of power on ext4 and xfs: the run is killed at a call, the filesystem shut down without a flush, mounted again.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use crate::evidence::Counts;
use crate::kills::{Aftermath, PARTIAL, aftermath};
use crate::run::{Mounted, Settings};
use crate::sweep::{Job, Layers, Place, Point, Reference, Tally, leftovers, points, run, thin, traced};

const FILESYSTEMS: [&str; 2] = ["ext4", "xfs"];
const MEGABYTES: u64 = 320;

/// What was on its way to the disk when the power went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// Nothing more came there.
    AtOnce,
    /// The journal was written, the data was not (`LOGFLUSH`).
    AfterTheJournal,
    /// Somebody else had synced a file of his own.
    AfterAnothersSync,
}

const LOSSES: [Loss; 3] = [Loss::AtOnce, Loss::AfterTheJournal, Loss::AfterAnothersSync];

const GONE: &str = "acknowledged, and gone";

/// When the power goes: at a call, or after the program has ended.
#[derive(Clone, Debug)]
struct Case {
    job: Job,
    at: Option<Point>,
    loss: Loss,
}

pub fn run_all(settings: &Settings) -> Counts {
    let layers = Layers::every_call();
    let mut counts = Counts::default();
    let sweeps = std::thread::scope(|scope| {
        let sweep = |kind| {
            scope.spawn({
                let layers = &layers;
                move || sweep_one(kind, layers, settings)
            })
        };
        FILESYSTEMS.map(sweep).map(|thread| thread.join().expect("a sweep"))
    });
    for (kind, (tally, control)) in FILESYSTEMS.iter().zip(sweeps) {
        let what = format!("power goes at a call, or after the end (--durable, {kind})");
        tally.complain(&what);
        counts.row(&what, tally.tried(), tally.violations.len() as u64);
        counts.note(format!("{kind}: {}.", tally.spread()));
        let seen = |what: &str| control.violations.iter().filter(|violation| violation.starts_with(what)).count() as u64;
        counts.control(format!("a torn tree, after the end (not durable, {kind})"), control.tried(), seen(PARTIAL));
        counts.note(format!("{kind}, not durable: {} of {} trees were acknowledged and gone.", seen(GONE), control.tried()));
    }
    counts
}

/// Gives the tally with `--durable` and that of the control.
fn sweep_one(kind: &str, layers: &Layers, settings: &Settings) -> (Tally, Tally) {
    let disk = Disk::new(kind);
    let (mut tally, mut control) = (Tally::default(), Tally::default());
    for form in ["merged", "overlay-user"] {
        let job = |durable| Job::Unpack { form, threads: 1, durable };
        let reference = Reference::of(job(true), layers);
        let killed = points(job(true), layers, false).into_iter().map(Some);
        let at = killed.chain([None, None]);
        let all = at.flat_map(|at| LOSSES.map(|loss| Case { job: job(true), at: at.clone(), loss })).collect();
        for case in cases(all, settings) {
            tally.add(disk.try_case(&case, layers, &reference).map_err(|wrong| format!("{case:?}: {wrong}")));
        }
        for loss in LOSSES {
            let case = Case { job: job(false), at: None, loss };
            control.add(disk.try_case(&case, layers, &reference));
        }
    }
    (tally, control)
}

/// In the short form some of them, those after the end always among them.
fn cases(all: Vec<Case>, settings: &Settings) -> Vec<Case> {
    let (after, at): (Vec<_>, Vec<_>) = all.into_iter().partition(|case| case.at.is_none());
    thin(at, settings.pick(12, u64::MAX)).into_iter().chain(after.into_iter().take(settings.pick(3, 6) as usize)).collect()
}

/// A filesystem that loses its power.
struct Disk {
    // Before the filesystem goes.
    place: Place,
    mounted: Mounted,
}

impl Disk {
    fn new(kind: &str) -> Self {
        let mounted = Mounted::new(kind, MEGABYTES);
        Self { place: Place::within(&mounted.path()), mounted }
    }

    fn try_case(&self, case: &Case, layers: &Layers, reference: &Reference) -> Result<&'static str, String> {
        let (place, scratch) = (&self.place, self.place.scratch());
        place.clear();
        rustix::fs::syncfs(File::open(place.dir()).expect("a directory")).expect("syncfs");
        let words = case.job.words(layers, &place.dir(), false);
        let ran = match &case.at {
            None => run(&words, scratch),
            Some(Point { call, number }) => {
                let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={number}"));
                run(&traced(words, scratch, &["-e", &trace, "-e", &inject]), scratch)
            }
        };
        if !ran.killed() && !ran.succeeded() {
            return Err(format!("neither killed nor done: {ran:?}"));
        }
        self.lose_power(case.loss);
        let left = !leftovers(&place.dir()).is_empty();
        match (aftermath(case.job, layers, reference, place)?, ran.succeeded()) {
            (Aftermath::Absent, true) => Err(GONE.to_owned()),
            (Aftermath::Complete, true) => Ok("acknowledged, complete"),
            (Aftermath::Complete, false) => Ok("killed, complete"),
            (Aftermath::Absent, false) if left => Ok("killed, absent, a leftover"),
            (Aftermath::Absent, false) => Ok("killed, absent"),
        }
    }

    fn lose_power(&self, loss: Loss) {
        if loss == Loss::AfterAnothersSync {
            let other = File::create(self.mounted.path().join("another's")).expect("a file");
            std::io::Write::write_all(&mut &other, b"data").and_then(|()| other.sync_all()).expect("a file");
        }
        shut_down(&self.mounted.path(), if loss == Loss::AfterTheJournal { LOGFLUSH } else { NOLOGFLUSH });
        self.mounted.unmount();
        self.mounted.mount();
    }
}

/// `EXT4_GOING_FLAGS_LOGFLUSH` and `XFS_FSOP_GOING_FLAGS_LOGFLUSH`.
const LOGFLUSH: u32 = 1;
/// `EXT4_GOING_FLAGS_NOLOGFLUSH` and `XFS_FSOP_GOING_FLAGS_NOLOGFLUSH`.
const NOLOGFLUSH: u32 = 2;

/// Stops the filesystem at `path` where it is: what it has in memory is lost.
fn shut_down(path: &Path, flags: u32) {
    // `EXT4_IOC_SHUTDOWN` and `XFS_IOC_GOINGDOWN`: `_IOR('X', 125, __u32)`.
    const GOING_DOWN: libc::Ioctl = 0x8004_587d;
    let dir = File::open(path).expect("the filesystem");
    // SAFETY: the call reads a number of 32 bits.
    let done = unsafe { libc::ioctl(dir.as_raw_fd(), GOING_DOWN, &raw const flags) };
    assert_eq!(done, 0, "shutdown: {}", std::io::Error::last_os_error());
}
