//! Who runs the command: `User` of the configuration (OCI image-spec `config.md`), by the tree's own `/etc/passwd` and `/etc/group`.

use std::io::{self, Read as _};

use cap_std::fs::Dir;

/// Longest `/etc/passwd` or `/etc/group` that is read, in bytes: they are the image's.
const MAX: u64 = 1 << 20;

/// Ids in the container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) additional: Vec<u32>,
}

/// Reads `user`, `uid`, `user:group`, `uid:gid`, `uid:group` or `user:gid`; nothing is root. Names are looked up in `rootfs`, out of
/// which no link leads.
pub(crate) fn of(text: &str, rootfs: &Dir) -> io::Result<User> {
    let (name, group) = text.split_once(':').map_or((text, None), |(name, group)| (name, Some(group)));
    let (passwd, groups) = (read(rootfs, "etc/passwd")?, read(rootfs, "etc/group")?);
    look_up(name, group, &passwd, &groups)
}

fn look_up(name: &str, group: Option<&str>, passwd: &str, groups: &str) -> io::Result<User> {
    let name = if name.is_empty() { "0" } else { name };
    let number: Option<u32> = name.parse().ok();
    // NAME:PASSWORD:UID:GID:...
    let lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let known = lines
        .filter_map(|fields| Some((*fields.first()?, fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)))
        .find(|(known, uid, _): &(&str, u32, u32)| number.map_or(*known == name, |number| *uid == number));
    let (known, uid, gid) = match (known, number) {
        (Some((known, uid, gid)), _) => (Some(known), uid, gid),
        (None, Some(uid)) => (None, uid, 0),
        (None, None) => return Err(missing("user", name)),
    };
    let Some(group) = group else {
        let additional = known.map(|known| of_member(known, groups)).unwrap_or_default();
        return Ok(User { uid, gid, additional });
    };
    let gid = group.parse().ok().or_else(|| group_id(group, groups)).ok_or_else(|| missing("group", group))?;
    Ok(User { uid, gid, additional: Vec::new() })
}

/// NAME:PASSWORD:GID:MEMBER,MEMBER...
fn group_id(name: &str, groups: &str) -> Option<u32> {
    let mut fields = groups.lines().map(|line| line.split(':')).find(|fields| fields.clone().next() == Some(name))?;
    fields.nth(2)?.parse().ok()
}

fn of_member(name: &str, groups: &str) -> Vec<u32> {
    let lines = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let with = lines.filter(|fields| fields.get(3).is_some_and(|members| members.split(',').any(|member| member == name)));
    with.filter_map(|fields| fields.get(2)?.parse().ok()).collect()
}

/// Reads a file of the tree; one that is not there is empty.
fn read(rootfs: &Dir, path: &str) -> io::Result<String> {
    let file = match rootfs.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        file => file?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other(format!("/{path} is no regular file")));
    }
    let mut bytes = Vec::new();
    file.take(MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn missing(what: &str, name: &str) -> io::Error {
    io::Error::other(format!("the image runs as a {what} that it does not have: {name:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/:/bin/sh\nbroken\nwww:x:33:34::/:/bin/false\n";
    const GROUPS: &str = "root:x:0:\nwww-data:x:34:\nlogs:x:40:other,www\nother:x:41:wwwx\n";

    fn found(name: &str, group: Option<&str>) -> Option<(u32, u32, Vec<u32>)> {
        look_up(name, group, PASSWD, GROUPS).ok().map(|user| (user.uid, user.gid, user.additional))
    }

    #[test]
    fn a_user_is_a_name_or_a_number_with_or_without_a_group() {
        assert_eq!(found("", None), Some((0, 0, vec![])));
        assert_eq!(found("www", None), Some((33, 34, vec![40])));
        assert_eq!(found("33", None), Some((33, 34, vec![40])));
        assert_eq!(found("1000", None), Some((1000, 0, vec![])));
        assert_eq!(found("www", Some("logs")), Some((33, 40, vec![])));
        assert_eq!(found("1000", Some("1001")), Some((1000, 1001, vec![])));
        assert_eq!((found("nobody", None), found("www", Some("nobody"))), (None, None));
    }
}
