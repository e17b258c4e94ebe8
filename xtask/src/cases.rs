//! The attack corpus as files and command lines, and the child process that is given them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::{AsRawFd as _, RawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use safe_layers::{Compression, Limits, Policy};
use serde_json::Value;

use crate::common::canary::{World, plant_canary};
use crate::common::engine::{Form, sha256};
use crate::common::snapshot::Tree;
use crate::harness::{Attack, Case, Column, Outcome, Plant, Swapper};
use crate::run::{Mounted, unpack_program};

/// Longer than any run takes on a loaded machine: what runs longer hangs.
const HANG: Duration = Duration::from_secs(300);

/// A filesystem of its own with a world in it; the files of the layers are elsewhere.
pub struct Place {
    pub world: World,
    /// The working directory of the child: a canary too.
    pub cwd: PathBuf,
    /// Layers, output and traces: on another filesystem.
    pub files: tempfile::TempDir,
    pub mounted: Mounted,
}

/// Everything but the destination, before and after.
pub struct Outside(Vec<Tree>);

impl Place {
    pub fn new() -> Self {
        let mounted = Mounted::new("ext4", 4096);
        // The first world sets the working directory of the process; other parts of the torture have their own.
        let own = std::env::current_dir().expect("a working directory");
        let world = World::below(&mounted.path());
        std::env::set_current_dir(own).expect("the working directory");
        let cwd = mounted.path().join("cwd");
        plant_canary(&cwd);
        let files = tempfile::Builder::new().prefix("safe-layers-torture-").tempdir().expect("a temporary directory");
        Self { world, cwd, files, mounted }
    }

    /// Makes a new world in the place of one that may be damaged.
    pub fn renew(&mut self) {
        self.world = World::below(&self.mounted.path());
        fs::remove_dir_all(&self.cwd).expect("the working directory of children");
        plant_canary(&self.cwd);
    }

    /// Takes the snapshot of all that a child must leave alone. Of an inode that a plant shares with the destination the number of
    /// names is left out.
    pub fn outside(&self, case: Option<&Case>) -> Outside {
        let mut world = self.world.outside();
        for shared in case.iter().flat_map(|case| &case.plants).filter_map(Plant::outside) {
            world.nodes.get_mut(shared.as_bytes()).expect("a file of the canary").nlink = 0;
        }
        let own = self.world.parent().file_name().expect("a name").as_encoded_bytes().to_vec();
        Outside(vec![world, Tree::take(&self.mounted.path(), |name| *name == own[..])])
    }
}

impl Outside {
    pub fn difference(&self, after: &Self) -> Option<String> {
        let text: String = self.0.iter().zip(&after.0).map(|(before, after)| before.diff(after)).collect();
        (!text.is_empty()).then_some(text)
    }
}

/// A case of the corpus in files.
pub struct Stored {
    id: String,
    case: Case,
    expected: [(Column, Outcome); 2],
    blobs: Vec<PathBuf>,
    claims: Vec<String>,
}

/// One way to run a case.
pub struct Job<'s> {
    pub stored: &'s Stored,
    pub column: Column,
    pub form: Form,
}

impl Stored {
    /// Writes the layers of an attack in place of those of the last.
    pub fn new(attack: &Attack, place: &Place) -> Self {
        let case = (attack.case)(&place.world);
        let dir = place.files.path().join("layers");
        fs::remove_dir_all(&dir).ok();
        fs::create_dir(&dir).expect("a directory for layers");
        let (mut blobs, mut claims) = (Vec::new(), Vec::new());
        for (number, layer) in case.layers.iter().enumerate() {
            let (bytes, blob) = (layer.bytes(), dir.join(format!("{number}.blob")));
            claims.push(format!("{}@{}", sha256(&bytes), bytes.len()));
            fs::write(&blob, bytes).expect("a layer");
            blobs.push(blob);
        }
        let expected = [Column::Strict, Column::Container].map(|column| (column, attack.expected(column)));
        Self { id: attack.id(), case, expected, blobs, claims }
    }

    /// Every policy with every form that the case has.
    pub fn jobs(&self) -> Vec<Job<'_>> {
        let forms: &[Form] = match (&self.case.swapped, self.case.plants.is_empty()) {
            (Some(_), _) => &[Form::Rootfs, Form::InPlace],
            (None, true) => &[Form::Rootfs, Form::InPlace, Form::Overlay],
            (None, false) => &[Form::InPlace],
        };
        let columns = self.expected.iter().map(|(column, _)| *column);
        columns.flat_map(|column| forms.iter().map(move |form| Job { stored: self, column, form: *form })).collect()
    }

    pub fn blobs(&self) -> &[PathBuf] {
        &self.blobs
    }

    pub fn is_slow(&self) -> bool {
        self.case.slow || self.is_race()
    }

    /// Somebody else writes meanwhile: no two runs need be the same.
    pub fn is_race(&self) -> bool {
        self.case.swapped.is_some()
    }
}

impl Job<'_> {
    pub fn what(&self) -> String {
        format!("{} under {:?}, {:?}", self.stored.id, self.column, self.form)
    }

    pub fn case(&self) -> &Case {
        &self.stored.case
    }

    /// Removes what the last run left and plants what this one starts with.
    pub fn prepare(&self, place: &Place) {
        place.world.clear();
        if self.form == Form::InPlace {
            fs::create_dir(place.world.dest_path()).expect("the destination");
        }
        self.case().plants.iter().for_each(|plant| plant.put(&place.world));
    }

    /// Says what the tree of a run has of the outside, if anything. A link to it that the case planted stays where the run ended early.
    pub fn taken(&self, place: &Place, ran: &Ran) -> Option<String> {
        let planted = ran.status != Some(0) && self.case().plants.iter().any(|plant| plant.outside().is_some());
        ran.tree.as_ref().filter(|_| !planted).and_then(|tree| place.world.taken(tree))
    }

    /// Removes what a run had to leave: an attacker who makes names while the staging directory is removed keeps it there, and it is
    /// found by its name.
    pub fn recover(&self, place: &Place) {
        if self.stored.is_race() {
            let parent = safe_layers::Root::open_ambient(place.world.parent(), safe_layers::ambient_authority()).expect("the parent");
            safe_layers::recover(&parent).expect("leftovers can be removed");
        }
    }

    /// The program and its words.
    pub fn words(&self, place: &Place, threads: u32) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![unpack_program().into(), "--json".into(), format!("--threads={threads}").into()];
        words.push(format!("--policy={:?}", self.column).to_lowercase().into());
        match self.form {
            Form::Rootfs => {}
            Form::InPlace => words.push("--in-place".into()),
            Form::Overlay => words.push("--form=overlay-user".into()),
        }
        let mut policy = self.column.policy();
        (self.case().policy)(&mut policy);
        words.extend(limits(&policy, self.column.policy()).into_iter().map(|limit| format!("--limit={limit}").into()));
        words.extend(self.stored.claims.iter().map(|claim| format!("--blob={claim}").into()));
        words.extend(self.stored.blobs.iter().map(|blob| self.declared(blob).into()));
        words.push(place.world.dest_path().into());
        words
    }

    /// Strict takes a file's extension for the format that is claimed.
    fn declared(&self, blob: &Path) -> PathBuf {
        let extension = match self.stored.case.declared.filter(|_| self.column == Column::Strict) {
            None => return blob.to_path_buf(),
            Some(Compression::None) => "tar",
            Some(Compression::Gzip) => "tar.gz",
            Some(other) => panic!("no extension for {other:?}"),
        };
        let named = blob.with_extension(extension);
        if !named.exists() {
            fs::hard_link(blob, &named).expect("a second name for a layer");
        }
        named
    }

    /// Runs the words in the prepared place; `watch` is called with each readiness of its descriptor.
    pub fn run(&self, place: &Place, words: &[OsString], watch: Option<(RawFd, &mut dyn FnMut())>) -> Ran {
        let swap = self.case().swapped.as_ref();
        let swapper = swap.map(|(path, target)| Swapper::start(place.world.parent(), path, target));
        let mut ran = ended(place, words, watch);
        // Nobody swaps any more while the tree is looked at.
        drop(swapper);
        ran.tree = place.world.tree();
        let nodes = ran.tree.iter_mut().flat_map(|tree| &mut tree.nodes);
        match self.form {
            Form::Rootfs => {}
            // What stood there before was made just now.
            Form::InPlace => nodes.for_each(|(_, node)| node.mtime = (0, 0)),
            // The directory that holds those of the layers is of no layer.
            Form::Overlay => nodes.filter(|(path, _)| path.is_empty()).for_each(|(_, node)| node.mtime = (0, 0)),
        }
        ran
    }

    /// Says what is wrong with an outcome, if anything is.
    pub fn fault(&self, ran: &Ran) -> Option<String> {
        let expected = self.stored.expected.iter().find(|(column, _)| *column == self.column)?.1;
        let typed = ran.status == Some(1) && !ran.kind().is_empty() && (ran.kind() != "Io" || self.stored.is_race());
        let fits = match expected {
            Outcome::Reject(kind) => ran.status == Some(1) && ran.kind() == kind.as_str(),
            Outcome::Accept => ran.status == Some(0),
            Outcome::Contain => ran.status == Some(0) || typed,
        };
        let exposed = ran.status != Some(0) && self.form != Form::InPlace && ran.tree.is_some();
        match (fits, exposed) {
            (true, false) => None,
            (_, true) => Some("refused, and yet the destination is there".into()),
            _ => Some(format!("expected {expected:?}, got {}", ran.told())),
        }
    }
}

/// The limits in which a policy differs, which must be all that it differs in.
fn limits(policy: &Policy, mut default: Policy) -> Vec<String> {
    let value = |limits: &Limits, name: &str| {
        let text = format!("{limits:?}");
        let (_, rest) = text.split_once(&format!(" {name}: ")).expect("a limit");
        rest.split([',', ' ']).next().unwrap_or_default().to_owned()
    };
    let differ = |name: &&&str| value(&policy.limits, name) != value(&default.limits, name);
    let names: Vec<&str> = Limits::NAMES.iter().filter(differ).copied().collect();
    for name in &names {
        default.limits.set(name, &value(&policy.limits, name)).expect("a limit");
    }
    assert_eq!(*policy, default, "a case sets more than limits");
    names.iter().map(|name| format!("{name}={}", value(&policy.limits, name))).collect()
}

/// What came of a child.
#[derive(Clone)]
pub struct Ran {
    /// None after a signal.
    pub status: Option<i32>,
    /// The one JSON object it printed.
    pub said: Value,
    pub tree: Option<Tree>,
}

impl Ran {
    /// The kind of the error; empty if there was none.
    pub fn kind(&self) -> &str {
        self.said["error"]["kind"].as_str().unwrap_or_default()
    }

    pub fn told(&self) -> String {
        let mut text = format!("status {:?}, {}", self.status, self.said);
        text.truncate(text.floor_char_boundary(400));
        text
    }

    /// What another run did differently: status, report or error, tree.
    pub fn difference(&self, other: &Self) -> Option<String> {
        if (self.status, &self.said) != (other.status, &other.said) {
            return Some(format!("{} became {}", self.told(), other.told()));
        }
        let empty = Tree::default();
        let diff = self.tree.as_ref().unwrap_or(&empty).diff(other.tree.as_ref().unwrap_or(&empty));
        (!diff.is_empty()).then_some(diff)
    }
}

/// Runs a command in the place and takes the tree that it leaves.
pub fn run(place: &Place, words: &[OsString], watch: Option<(RawFd, &mut dyn FnMut())>) -> Ran {
    let ran = ended(place, words, watch);
    Ran { tree: place.world.tree(), ..ran }
}

/// As [`run`], without a look at the tree.
fn ended(place: &Place, words: &[OsString], watch: Option<(RawFd, &mut dyn FnMut())>) -> Ran {
    let (out, err) = (place.files.path().join("out"), place.files.path().join("err"));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).current_dir(&place.cwd).env_clear().stdin(Stdio::null());
    command.stdout(File::create(&out).expect("a file")).stderr(File::create(&err).expect("a file"));
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    wait(&child, watch);
    let status = child.wait().expect("a child").code();
    let said = fs::read(&out).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let said = said.unwrap_or_else(|| fs::read_to_string(&err).unwrap_or_default().into());
    Ran { status, said, tree: None }
}

/// Waits for the end of a child, which is killed if it hangs.
fn wait(child: &Child, mut watch: Option<(RawFd, &mut dyn FnMut())>) {
    let pid = rustix::process::Pid::from_child(child);
    let ended = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).expect("pidfd_open");
    let began = Instant::now();
    loop {
        let events = watch.as_ref().map_or(-1, |(fd, _)| *fd);
        let mut ready = [ended.as_raw_fd(), events].map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        // SAFETY: two valid entries, for as long as the call takes.
        unsafe { libc::poll(ready.as_mut_ptr(), 2, 1000) };
        if let Some((_, seen)) = watch.as_mut() {
            seen();
        }
        if ready[0].revents != 0 {
            return;
        }
        if began.elapsed() > HANG {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill");
        }
    }
}
