//! Reads the files of `src/` with `syn` and finds the paths that each file names.

use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Item, Lit, Meta, UseTree, Visibility};

/// A module or an item: its path below `crate`, such as `["http", "list", "walk"]`.
pub(crate) type Module = Vec<String>;

/// A source file.
pub(crate) struct Source {
    /// The path below `src/`, without `.rs`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// The room: the first folder, or the file's own name.
    pub(crate) fn room(&self) -> &str {
        self.path.split('/').next().unwrap()
    }

    /// The module of this file. `uri_tests.rs` is the module `tests` of `uri.rs`.
    pub(crate) fn module(&self) -> Module {
        let mut module: Module = self.path.split('/').map(str::to_owned).collect();
        let file = module.pop().unwrap();
        match file.strip_suffix("_tests") {
            _ if file == "mod" => {}
            Some(tested) => module.extend([tested.to_owned(), "tests".to_owned()]),
            None => module.push(file),
        }
        module
    }

    /// The paths that the file names, with or without those in its tests.
    pub(crate) fn names(&self, tests: Tests) -> Names {
        let file =
            syn::parse_file(&self.text).unwrap_or_else(|error| panic!("src/{}.rs: {error}", self.path));
        Names::of(self.module(), &file, tests)
    }
}

/// All files below `folder` of `src/`, in the order of their paths.
pub(crate) fn sources(folder: &str) -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![src.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&src).unwrap().with_extension("");
                found.push(Source { path: path.to_str().unwrap().to_owned(), text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// Whether items that exist only in tests are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tests {
    Read,
    Skipped,
}

/// The paths that a file names. A path from the root, or through `self` or `super`, begins with `crate`; any other
/// path is as it is written, and begins with a crate, a module below, or a name that was imported.
pub(crate) struct Names {
    /// Paths in imports, code, types, attributes and the arguments of macros.
    pub(crate) used: Vec<Module>,
    /// Paths that the file exports for other files (`pub use`).
    pub(crate) exported: Vec<Module>,
    /// Paths in links of doc comments; only those that begin with `crate`.
    pub(crate) linked: Vec<Module>,
    at: Module,
    tests: Tests,
}

impl Names {
    pub(crate) fn of(module: Module, file: &syn::File, tests: Tests) -> Self {
        let mut names =
            Self { used: Vec::new(), exported: Vec::new(), linked: Vec::new(), at: module, tests };
        names.visit_file(file);
        names
    }

    /// `path` with `self` and `super` replaced by what they mean here.
    fn absolute(&self, path: Module) -> Module {
        let ups = path.iter().take_while(|part| *part == "self" || *part == "super").count();
        if ups == 0 {
            return path;
        }
        let supers = path[..ups].iter().filter(|part| *part == "super").count();
        let above = &self.at[..self.at.len().saturating_sub(supers)];
        let from_root = ["crate".to_owned()].into_iter().chain(above.iter().cloned());
        from_root.chain(path[ups..].iter().cloned()).collect()
    }

    /// A single name is a local value or was imported, so only longer paths count.
    fn use_path(&mut self, path: Module) {
        if path.len() > 1 {
            self.used.push(self.absolute(path));
        }
    }

    /// Finds paths such as `crate::log::Reader` in the arguments of a macro, which `syn` leaves as tokens.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut colons) = (Module::new(), 0);
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.use_path(std::mem::take(&mut path));
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(sign) if sign.as_char() == ':' => colons += 1,
                other => {
                    self.use_path(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.read_tokens(group.stream());
                    }
                }
            }
        }
        self.use_path(path);
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
        let attributes: &[Attribute] = match item {
            Item::Use(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => &[],
        };
        if self.tests == Tests::Skipped && is_for_tests(attributes) {
            return;
        }
        match item {
            Item::Use(item) => {
                let mut found = Vec::new();
                flatten(&item.tree, &mut Vec::new(), &mut found);
                let found: Vec<Module> = found.into_iter().map(|path| self.absolute(path)).collect();
                match item.vis {
                    Visibility::Inherited => self.used.extend(found),
                    _ => self.exported.extend(found),
                }
            }
            Item::Mod(module) => {
                self.at.push(module.ident.to_string());
                visit::visit_item(self, item);
                self.at.pop();
            }
            _ => visit::visit_item(self, item),
        }
    }

    /// `pub(super)` does not use what it names.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.use_path(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.read_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::NameValue(doc) = &attribute.meta
            && doc.path.is_ident("doc")
            && let Expr::Lit(text) = &doc.value
            && let Lit::Str(text) = &text.lit
        {
            let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            for word in text.value().split(|c| !is_part(c)).filter(|word| word.starts_with("crate::")) {
                self.linked.push(word.split("::").map(str::to_owned).collect());
            }
        }
        visit::visit_attribute(self, attribute);
    }
}

/// Each path that a `use` names, with the original name of what is renamed.
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

#[test]
fn paths_are_found_in_every_form_in_which_a_file_can_name_them() {
    let text = "
        use crate::log::Reader;
        use crate::{model::{Event, Id}, kazoo};
        use sled;
        pub(crate) use super::x;
        /// Opens [`crate::state::State`].
        #[cfg(test)] fn f() { crate::disk::go() }
        fn g() -> sled::Db { tokio::select! { a = crate::auth::b(c: super::super::d::e) => {} } }
        mod inner { use super::super::up; use self::down; }";
    let names =
        |tests| Names::of(vec!["room".to_owned(), "file".to_owned()], &syn::parse_file(text).unwrap(), tests);
    let joined = |paths: &[Module]| {
        let mut paths: Vec<String> = paths.iter().map(|path| path.join("::")).collect();
        paths.sort();
        paths
    };
    let all = names(Tests::Read);
    let used = [
        "crate::auth::b",
        "crate::d::e",
        "crate::disk::go",
        "crate::kazoo",
        "crate::log::Reader",
        "crate::model::Event",
        "crate::model::Id",
        "crate::room::file::inner::down",
        "crate::room::up",
        "sled",
        "sled::Db",
        "tokio::select",
    ];
    assert_eq!(joined(&all.used), used);
    assert_eq!(joined(&all.exported), ["crate::room::x"]);
    assert_eq!(joined(&all.linked), ["crate::state::State"]);
    assert!(!joined(&names(Tests::Skipped).used).contains(&"crate::disk::go".to_owned()));
}
