//! Races: an attacker with write access to the destination swaps and deletes in it at full speed while layers are unpacked there.
//!
//! After every few thousand entries the canary is compared and the tree is searched for it. What the attacker himself moves out
//! takes its writes along; a name that he himself gave an object of the canary is his.

mod arena;
mod attacker;
mod attacks;
mod layers;
mod naive;
mod victim;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arena::Arena;
use attacker::{Gate, Plan, attack};
use attacks::{AGAINST, ATTACKS, Attack, PRIMITIVES, Primitive};
use layers::Layer;
use naive::Naive;
use victim::{Cores, SETTINGS, Setting, clean, pin, unpack};

use crate::common::engine::Form;
use crate::evidence::{Counts, Section};
use crate::run::{Extent, Mounted, Settings};

pub const SECTION: Section = Section {
    name: "races",
    title: "While another renames, swaps and deletes in the destination at full speed, nothing outside of it changes or is taken; \
            openat2 and the walk, on one core and on two.",
    guarantees: "G1, G2, G15",
    run,
};

/// Each attack is tried on both, half of its entries on each.
const FILESYSTEMS: [&str; 2] = ["ext4", "tmpfs"];
/// Entries between two looks at the canary.
const LOOK: u64 = 4096;
/// What takes longer hangs.
const HANG: Duration = Duration::from_secs(60);
/// How often a naive victim has to lose.
const LOSSES: u64 = 20;

/// What was counted of one attack.
#[derive(Default)]
struct Tally {
    entries: u64,
    refused: u64,
    swaps: u64,
    violations: u64,
    took: Duration,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.entries += other.entries;
        self.refused += other.refused;
        self.swaps += other.swaps;
        self.violations += other.violations;
        self.took += other.took;
    }
}

fn run(settings: &Settings) -> Counts {
    let mut counts = Counts::default();
    let mut all = Tally::default();
    for kind in FILESYSTEMS {
        let mounted = Mounted::new(kind, 512);
        let place = mounted.path();
        for (turn, attack) in ATTACKS.iter().enumerate() {
            if let Some(naive) = attack.naive {
                let (tried, lost) = lose(&place, attack, naive, settings);
                counts.control(format!("{kind}: a naive victim: {}", attack.name), tried, lost);
            }
            let tally = fight_attack(&place, attack, (settings, turn));
            enter(&mut counts, &format!("{kind}: {}", attack.name), &tally);
            all.add(&tally);
        }
        for (turn, primitive) in PRIMITIVES.iter().enumerate() {
            let tally = fight_primitive(&place, primitive, (settings, turn));
            enter(&mut counts, &format!("{kind}: {}", primitive.name), &tally);
            all.add(&tally);
        }
        mounted.unmount();
    }
    counts.note(format!(
        "{} entries in all against {} swaps; {} unpacks ended in an error, all others to the end of their layers.",
        all.entries, all.swaps, all.refused
    ));
    counts.note("A try is an entry that is applied, or refused, while the attacker swaps.");
    counts
}

fn enter(counts: &mut Counts, what: &str, tally: &Tally) {
    println!("{what}: {} entries, {} swaps, {} refused, {:?}", tally.entries, tally.swaps, tally.refused, tally.took);
    counts.row(format!("{what} ({} swaps)", tally.swaps), tally.entries, tally.violations);
}

/// One attack in all settings; in short, in each third by turns.
fn fight_attack(place: &Path, attack: &Attack, (settings, turn): (&Settings, usize)) -> Tally {
    let layers = (attack.layers)(attack.dirs);
    let fight = Fight { what: attack.name, place, plan: attack.plan, form: attack.form, prepared: attack.prepared, layers: &layers };
    fight.in_settings((settings, turn), settings.pick(1_500, attack.tries / FILESYSTEMS.len() as u64))
}

/// One primitive against each of the swaps that all of them have to stand; in short, against one by turns.
fn fight_primitive(place: &Path, primitive: &Primitive, (settings, turn): (&Settings, usize)) -> Tally {
    let dirs = &["a", "b"];
    let layers = (primitive.layers)(dirs);
    let mut tally = Tally::default();
    let (first, step) = if settings.extent == Extent::Short { (turn % AGAINST.len(), AGAINST.len()) } else { (0, 1) };
    for plan in AGAINST.into_iter().skip(first).step_by(step) {
        let fight = Fight { what: primitive.name, place, plan, form: Form::InPlace, prepared: dirs, layers: &layers };
        tally.add(&fight.in_settings((settings, turn), settings.pick(600, 25_000)));
    }
    tally
}

struct Fight<'a> {
    what: &'a str,
    place: &'a Path,
    plan: Plan,
    form: Form,
    prepared: &'a [&'a str],
    layers: &'a [Layer],
}

impl Fight<'_> {
    /// Fights in each setting as often as its share says.
    fn in_settings(&self, (settings, turn): (&Settings, usize), tries: u64) -> Tally {
        let mut tally = Tally::default();
        let (first, step) = if settings.extent == Extent::Short { (turn % 3, 3) } else { (0, 1) };
        SETTINGS
            .iter()
            .skip(first)
            .step_by(step)
            .for_each(|setting| tally.add(&self.round(*setting, (tries * setting.per_mille).div_ceil(1000))));
        tally
    }

    /// A fight in an arena of its own.
    fn round(&self, setting: Setting, tries: u64) -> Tally {
        let arena = Arena::new(self.place, self.prepared);
        let (gate, beat) = (Gate::default(), AtomicU64::new(0));
        let (mut tally, began) = (Tally::default(), Instant::now());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                pin((setting.cores != Cores::Any).then_some(usize::from(setting.cores == Cores::Two)));
                attack(arena.path(), self.plan, &gate);
            });
            let watch = scope.spawn(|| watch(self.what, &beat, &gate));
            pin((setting.cores != Cores::Any).then_some(0));
            while tally.entries < tries {
                self.until_look(&arena, setting, tries, (&gate, &beat), &mut tally);
            }
            pin(None);
            gate.end();
            beat.store(u64::MAX, Ordering::SeqCst);
            watch.thread().unpark();
            tally.violations += u64::from(watch.join().expect("the watch"));
        });
        tally.swaps = gate.swaps.load(Ordering::Relaxed);
        tally.took = began.elapsed();
        tally
    }

    /// Unpacks until the canary is due to be looked at, and looks.
    fn until_look(&self, arena: &Arena, setting: Setting, tries: u64, (gate, beat): (&Gate, &AtomicU64), tally: &mut Tally) {
        let until = tries.min(tally.entries + LOOK);
        while tally.entries < until {
            let tried = unpack(&arena.root(), self.form, self.layers, setting, gate);
            tally.entries += tried.entries.max(1);
            tally.refused += tried.refused;
            tally.violations += tried.panicked;
            beat.fetch_add(1, Ordering::Relaxed);
        }
        let fault = arena.damage().or_else(|| gate.while_at_rest(|| arena.taken()));
        if let Some(fault) = fault {
            eprintln!("VIOLATION {}, {setting:?}: {fault}", self.what);
            tally.violations += 1;
        }
    }
}

/// Waits for the end of a fight; says whether the victim hung. One that goes on hanging without an attacker ends the process.
fn watch(what: &str, beat: &AtomicU64, gate: &Gate) -> bool {
    let (mut last, mut since, mut hung) = (0, Instant::now(), false);
    loop {
        let now = beat.load(Ordering::SeqCst);
        if now == u64::MAX {
            return hung;
        }
        if now != last {
            (last, since) = (now, Instant::now());
        }
        if since.elapsed() > HANG {
            eprintln!("VIOLATION {what}: the victim hangs");
            assert!(!hung, "{what}: the victim hangs on without an attacker");
            gate.end();
            (hung, since) = (true, Instant::now());
        }
        std::thread::park_timeout(Duration::from_secs(1));
    }
}

/// Lets the naive victim of an attack lose; gives how often it tried and lost.
fn lose(place: &Path, attacked: &Attack, naive: Naive, settings: &Settings) -> (u64, u64) {
    let mut arena = Arena::new(place, attacked.prepared);
    let root = arena.root();
    let gate = Gate::default();
    let limit = Duration::from_secs(settings.pick(30, 60));
    let (mut tried, mut lost, began) = (0, 0, Instant::now());
    let path = arena.path().to_path_buf();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(Some(1));
            attack(&path, attacked.plan, &gate);
        });
        pin(Some(0));
        while lost < settings.pick(1, LOSSES) && began.elapsed() < limit {
            tried += 1;
            naive(&root).unwrap_or_default();
            let copied = attacked.form == Form::Overlay && tried % 64 == 0 && gate.while_at_rest(|| arena.taken()).is_some();
            if copied || arena.damage().is_some() {
                lost += 1;
                gate.while_at_rest(|| {
                    clean(&root);
                    arena.restore();
                });
            }
        }
        gate.end();
        pin(None);
    });
    (tried, lost)
}
