//! Files of a room use each other in one direction only: a reader can read first what a file uses, and never comes back
//! to the file itself.
//!
//! `layers` checks the arrows between rooms; this test follows imports and paths between the files of one room. Tests
//! inside files are skipped. A name that a `mod.rs` exports counts as a use of the file that defines it.

use std::collections::{BTreeMap, BTreeSet};

use crate::imports::{Module, Names, Tests, sources};

/// Rooms of `src/` whose files form no circle.
const ROOMS: &[&str] = &["queues", "history", "http", "commands"];

/// The files of one room, by module.
struct Room {
    names: BTreeMap<Module, Names>,
}

impl Room {
    fn read(room: &str) -> Self {
        let is_for_tests = |name: &String| {
            name.ends_with("tests") || ["testing", "simulation", "fuzz"].contains(&name.as_str())
        };
        let files = sources(room).into_iter().map(|source| (source.module(), source));
        let files = files.filter(|(module, _)| !module.iter().any(is_for_tests));
        Self { names: files.map(|(module, source)| (module, source.names(Tests::Skipped))).collect() }
    }

    /// The file that a path means in the file `at`, and the part of the path below that file.
    fn resolve<'a>(&self, at: &Module, path: &'a [String]) -> Option<(Module, &'a [String])> {
        let (from, rest) = match path.split_first()? {
            (first, rest) if first == "crate" => (Module::new(), rest),
            _ => (at.clone(), path),
        };
        let deepest = (0..=rest.len()).rev();
        let mut split = deepest.filter_map(|n| rest.split_at_checked(n));
        split.find_map(|(module, rest)| {
            let module: Module = from.iter().chain(module).cloned().collect();
            self.names.contains_key(&module).then_some((module, rest))
        })
    }

    /// The file that defines a name which another file may only export.
    fn origin(&self, file: Module, rest: &[String]) -> Module {
        let Some(name) = rest.first() else { return file };
        let exported = self.names.get(&file).map(|names| names.exported.as_slice()).unwrap_or_default();
        let from = exported.iter().find(|path| path.last() == Some(name));
        match from.and_then(|path| self.resolve(&file, path)) {
            Some((next, rest)) if next != file => self.origin(next, rest),
            _ => file,
        }
    }

    fn arrows(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let of = |file: &Module, names: &Names| {
            let found = names.used.iter().filter_map(|path| self.resolve(file, path));
            let found = found.map(|(next, rest)| self.origin(next, rest));
            found.filter(|next| next != file).collect()
        };
        self.names.iter().map(|(file, names)| (file.clone(), of(file, names))).collect()
    }
}

/// Repeatedly removes files that use no other file and files that no other file uses. The rest is in circles or
/// between them.
fn circles(mut arrows: BTreeMap<Module, BTreeSet<Module>>) -> BTreeMap<Module, BTreeSet<Module>> {
    loop {
        let before = arrows.len();
        let known: BTreeSet<Module> = arrows.values().flatten().cloned().collect();
        arrows.retain(|file, next| known.contains(file) && !next.is_empty());
        let files: BTreeSet<Module> = arrows.keys().cloned().collect();
        for next in arrows.values_mut() {
            next.retain(|file| files.contains(file));
        }
        if arrows.len() == before {
            return arrows;
        }
    }
}

#[test]
fn no_files_of_a_room_form_a_circle() {
    for room in ROOMS {
        let room = Room::read(room);
        assert!(room.names.len() > 3, "the files are found");
        let found = circles(room.arrows());
        let lines = found.iter().map(|(file, next)| {
            let next: Vec<String> = next.iter().map(|file| file.join("/")).collect();
            format!("src/{} -> {}", file.join("/"), next.join(", "))
        });
        assert!(found.is_empty(), "files in circles:\n{}", lines.collect::<Vec<_>>().join("\n"));
    }
}

#[test]
fn a_circle_is_found_through_names_that_a_file_exports() {
    let texts = [
        (vec!["room"], "mod a; mod b; mod c; pub use a::A; pub use b::B;"),
        (vec!["room", "a"], "use super::B; pub struct A(B);"),
        (vec!["room", "b"], "pub struct B(Option<Box<crate::room::A>>);"),
        (vec!["room", "c"], "use super::a::A; #[cfg(test)] mod tests { use super::super::d; }"),
        (vec!["room", "d"], "use super::c;"),
    ];
    let names = texts.map(|(module, text)| {
        let module: Module = module.into_iter().map(str::to_owned).collect();
        (module.clone(), Names::of(module, &syn::parse_file(text).unwrap(), Tests::Skipped))
    });
    let found = circles(Room { names: names.into() }.arrows());
    let files: Vec<String> = found.keys().map(|file| file.join("/")).collect();
    assert_eq!(files, ["room/a", "room/b"]);
}
