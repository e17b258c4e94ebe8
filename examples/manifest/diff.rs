//! How two lists differ, and which differences a written table allows.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::process::ExitCode;

/// What is compared: the other unpacker and the archive, as the table names them.
pub(crate) struct About<'a> {
    pub(crate) peer: &'a str,
    pub(crate) archive: &'a str,
}

/// One line of the table: a rule and the patterns of what it allows.
pub(crate) struct Allowed {
    rule: String,
    patterns: [String; 6],
}

/// Reads the table: `rule peer archive place field ours theirs`, in words; `#` starts a comment.
pub(crate) fn parse_allowed(text: &str) -> io::Result<Vec<Allowed>> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            let rule = words.next().unwrap_or_default();
            let patterns: Vec<_> = words.collect();
            let patterns = patterns.try_into().map_err(|_| io::Error::other(format!("seven words are needed: {line}")))?;
            Ok(Allowed { rule, patterns })
        })
        .collect()
}

/// Compares, tells of each difference with the rule that allows it, and fails on a difference that the table does not allow.
///
/// Devices are left out and counted: the policy skips them.
pub(crate) fn diff(
    about: &About<'_>,
    entries: &BTreeSet<String>,
    allowed: &[Allowed],
    [ours, theirs]: [&str; 2],
    out: &mut dyn Write,
) -> io::Result<ExitCode> {
    let (ours, mut theirs) = (parse(ours), parse(theirs));
    let all = theirs.len();
    theirs.retain(|_, fields| fields.get("type") != Some(&"device"));
    let devices = all.saturating_sub(theirs.len());
    let paths: BTreeSet<_> = ours.keys().chain(theirs.keys()).copied().collect();
    let mut by_rule = BTreeMap::<&str, u64>::new();
    let mut refused = 0_u64;
    for path in &paths {
        let (our_fields, their_fields) = (ours.get(path), theirs.get(path));
        let place = place(path, entries, kind(our_fields.or(their_fields)));
        for (field, our, their) in differences(our_fields, their_fields) {
            let what = [about.peer, about.archive, &place, field, our, their];
            let verdict = match allowed.iter().find(|allowed| allows(allowed, &what)) {
                Some(allowed) => {
                    let count = by_rule.entry(&allowed.rule).or_insert(0);
                    *count = count.saturating_add(1);
                    format!("ALLOWED {}", allowed.rule)
                }
                None => {
                    refused = refused.saturating_add(1);
                    "DIFFERENT".to_owned()
                }
            };
            writeln!(out, "{verdict} {}: {path}: {field}: here {our}, there {their}", about.peer)?;
        }
    }
    let count = by_rule.values().copied().fold(0, u64::saturating_add);
    let rules: Vec<_> = by_rule.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
    let rules = if rules.is_empty() { String::new() } else { format!(" ({})", rules.join(", ")) };
    writeln!(
        out,
        "{} / {}: {} compared, {count} allowed differences{rules}, {devices} devices left out, {refused} not allowed",
        about.archive,
        about.peer,
        paths.len()
    )?;
    Ok(if refused == 0 && !paths.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

type Fields<'a> = BTreeMap<&'a str, &'a str>;

fn parse(list: &str) -> BTreeMap<&str, Fields<'_>> {
    let line = |line| {
        let mut parts = str::split(line, '\t');
        (parts.next().unwrap_or_default(), parts.filter_map(|part| part.split_once('=')).collect())
    };
    list.lines().map(line).collect()
}

/// Gives each field that differs; a path or a field that one side lacks is `-` there.
fn differences<'a>(ours: Option<&Fields<'a>>, theirs: Option<&Fields<'a>>) -> Vec<(&'a str, &'a str, &'a str)> {
    let (Some(ours), Some(theirs)) = (ours, theirs) else {
        return vec![("type", kind(ours), kind(theirs))];
    };
    let fields: BTreeSet<_> = ours.keys().chain(theirs.keys()).copied().collect();
    let value = |fields: &Fields<'a>, key| fields.get(key).copied().unwrap_or("-");
    let all = fields.into_iter().map(|key| (key, value(ours, key), value(theirs, key)));
    all.filter(|(_, our, their)| our != their).collect()
}

fn kind<'a>(fields: Option<&Fields<'a>>) -> &'a str {
    fields.and_then(|fields| fields.get("type")).copied().unwrap_or("-")
}

/// Whether the archive has an entry for the path: `entry/TYPE` or `implicit/TYPE`, and for the tree itself `root` or `implicit-root`.
fn place(path: &str, entries: &BTreeSet<String>, kind: &str) -> String {
    match (path, entries.contains(path)) {
        (".", true) => "root".to_owned(),
        (".", false) => "implicit-root".to_owned(),
        (_, true) => format!("entry/{kind}"),
        (_, false) => format!("implicit/{kind}"),
    }
}

fn allows(allowed: &Allowed, what: &[&str; 6]) -> bool {
    allowed.patterns.iter().zip(what).all(|(pattern, value)| match pattern.strip_suffix('*') {
        Some(start) => value.starts_with(start),
        None => pattern == value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = ".\ttype=directory\tmtime=0.000000000\na\ttype=file\tmode=0644\tsha256=x\n";
    const THEIRS: &str = ".\ttype=directory\tmtime=9.000000000\na\ttype=file\tmode=0600\tsha256=x\ndev/null\ttype=device\n";

    fn compare(ours: &str, theirs: &str, allowed: &str) -> (ExitCode, String) {
        let entries = BTreeSet::from(["a".to_owned()]);
        let about = About { peer: "gnutar", archive: "deb" };
        let mut out = Vec::new();
        let code = diff(&about, &entries, &parse_allowed(allowed).unwrap(), [ours, theirs], &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_difference_fails_unless_the_table_allows_it() {
        let root = "§1 gnutar * implicit-root mtime 0.000000000 *\n";
        let (code, out) = compare(OURS, THEIRS, root);
        assert_eq!(code, ExitCode::FAILURE);
        let told = ["ALLOWED §1 gnutar: .: mtime: here 0.000000000, there 9.000000000", "DIFFERENT gnutar: a: mode: here 0644, there 0600"];
        assert_eq!(out.lines().take(2).collect::<Vec<_>>(), told);
        assert!(out.ends_with("deb / gnutar: 2 compared, 1 allowed differences (§1 1), 1 devices left out, 1 not allowed\n"), "{out}");
        let (code, _) = compare(OURS, THEIRS, &format!("{root}§9 * d* entry/file mode 0644 0600 # why\n"));
        assert_eq!(code, ExitCode::SUCCESS);
    }

    #[test]
    fn a_path_that_one_side_lacks_is_a_difference() {
        for (ours, theirs) in [("a\ttype=file\n", "b\ttype=fifo\n"), ("", "")] {
            assert_eq!(compare(ours, theirs, "").0, ExitCode::FAILURE);
        }
        assert!(compare("a\ttype=file\n", "", "").1.contains("a: type: here file, there -"));
    }

    #[test]
    fn a_table_line_has_seven_words() {
        assert!(parse_allowed("§1 * * * mtime 0").is_err());
        assert!(parse_allowed("# only a comment\n\n").is_ok_and(|allowed| allowed.is_empty()));
    }
}
