//! Inside a room, too, files know each other in one direction only: a reader of a file can read what it uses
//! without coming back to it.
//!
//! `tests/layers.rs` holds the arrows between rooms; this test follows `use` and paths from file to file within one.
//! Tests inside files are left out, and a `mod.rs` counts for what it does, not for the names that it hands on.

#![expect(
    clippy::unwrap_used,
    reason = "helpers fail the test that called them; clippy exempts only #[test] functions themselves"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree, Visibility};

/// Rooms of `src/` whose files form no circle.
const ROOMS: &[&str] = &["queues", "history", "http", "commands"];

/// A module: its path below `crate`, such as `["http", "list", "walk"]`.
type Module = Vec<String>;

/// What a file names: paths as they are written, and the names that it hands on for others (`pub use`).
#[derive(Default)]
struct Names {
    used: Vec<Module>,
    handed_on: Vec<Module>,
}

impl Names {
    fn of(file: &syn::File) -> Self {
        let mut names = Self::default();
        names.visit_file(file);
        names
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    let is_test = |attribute: &Attribute| {
        let condition = attribute.meta.require_list().map(|list| list.tokens.to_string());
        attribute.path().is_ident("cfg") && condition.is_ok_and(|text| text.contains("test"))
    };
    attributes.iter().any(is_test)
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Use(names) if !is_for_tests(&names.attrs) => {
                let private = matches!(names.vis, Visibility::Inherited);
                let found = if private { &mut self.used } else { &mut self.handed_on };
                flatten(&names.tree, &mut Vec::new(), found);
            }
            Item::Use(_) => {}
            Item::Mod(module) if is_for_tests(&module.attrs) => {}
            Item::Fn(function) if is_for_tests(&function.attrs) => {}
            Item::Impl(methods) if is_for_tests(&methods.attrs) => {}
            _ => visit::visit_item(self, item),
        }
    }

    /// `pub(super)` names nothing that the file stands on.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    /// A name by itself is a value or was imported; a file may well be called like a local variable.
    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.used.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }
}

/// Each path that a `use` names, the name at its end as it is there, not as it is called here.
fn flatten(tree: &UseTree, before: &mut Module, found: &mut Vec<Module>) {
    let mut end = |name: String| found.push(before.iter().cloned().chain([name]).collect());
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, found);
            before.pop();
        }
        UseTree::Name(name) => end(name.ident.to_string()),
        UseTree::Rename(name) => end(name.ident.to_string()),
        UseTree::Glob(_) => found.push(before.clone()),
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, before, found)),
    }
}

/// The files of one room, by module.
struct Room {
    names: BTreeMap<Module, Names>,
}

impl Room {
    fn read(room: &str) -> Self {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut names = BTreeMap::new();
        let mut folders = vec![src.join(room)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                if path.extension().is_none_or(|extension| extension != "rs") {
                    continue;
                }
                let within = path.strip_prefix(&src).unwrap().with_extension("");
                let mut module: Module =
                    within.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
                module.pop_if(|name| name == "mod");
                let for_tests = |name: &String| {
                    name.ends_with("tests") || ["testing", "simulation", "fuzz"].contains(&name.as_str())
                };
                if !module.iter().any(for_tests) {
                    let file = syn::parse_file(&std::fs::read_to_string(&path).unwrap()).unwrap();
                    names.insert(module, Names::of(&file));
                }
            }
        }
        Self { names }
    }

    /// The file that a path means, seen from `at`; and what of the path is left for it.
    fn resolve<'a>(&self, at: &Module, path: &'a [String]) -> Option<(Module, &'a [String])> {
        let (mut from, mut rest) = match path.first()?.as_str() {
            "crate" => (Vec::new(), path.get(1..)?),
            "self" => (at.clone(), path.get(1..)?),
            _ => (at.clone(), path),
        };
        while let Some(("super", more)) = rest.split_first().map(|(first, more)| (first.as_str(), more)) {
            from.pop();
            rest = more;
        }
        let deepest = (0..=rest.len()).rev();
        let mut split = deepest.filter_map(|n| rest.split_at_checked(n));
        split.find_map(|(module, rest)| {
            let module: Module = from.iter().chain(module).cloned().collect();
            self.names.contains_key(&module).then_some((module, rest))
        })
    }

    /// The file in which a name that is handed on was made.
    fn origin(&self, file: Module, rest: &[String]) -> Module {
        let Some(name) = rest.first() else { return file };
        let handed_on = self.names.get(&file).map(|names| names.handed_on.as_slice()).unwrap_or_default();
        let from = handed_on.iter().find(|path| path.last() == Some(name));
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
fn a_circle_is_found_through_names_that_are_handed_on() {
    let texts = [
        (vec!["room"], "mod a; mod b; mod c; pub use a::A; pub use b::B;"),
        (vec!["room", "a"], "use super::B; pub struct A(B);"),
        (vec!["room", "b"], "pub struct B(Option<Box<crate::room::A>>);"),
        (vec!["room", "c"], "use super::a::A; #[cfg(test)] mod tests { use super::super::d; }"),
        (vec!["room", "d"], "use super::c;"),
    ];
    let names = texts.map(|(module, text)| {
        let module: Module = module.into_iter().map(str::to_owned).collect();
        (module, Names::of(&syn::parse_file(text).unwrap()))
    });
    let found = circles(Room { names: names.into() }.arrows());
    let files: Vec<String> = found.keys().map(|file| file.join("/")).collect();
    assert_eq!(files, ["room/a", "room/b"]);
}
