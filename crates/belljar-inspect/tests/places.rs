//! From a place in a source file to the item around it, over all files of a crate.

use std::path::Path;

use belljar_inspect::{Places, is_in};

fn crate_of(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

#[test]
fn items_of_all_modules_are_found() {
    let dir = crate_of(&[
        (
            "src/main.rs",
            "mod plain;\nmod folder;\n#[path = \"else/where.rs\"]\nmod named;\nmod inline { mod deep; #[path = \"other.rs\"] mod odd; mod r#type;\nfn é() {} }\nfn main() {\n    a!();\n}\nb!();\n",
        ),
        (
            "src/plain.rs",
            "struct A;\nimpl A {\n    fn f() {}\n}\nimpl<T> super::Tr<T> for A {\n    const C: u8 = 1;\n}\nmod below;\n",
        ),
        ("src/plain/below.rs", "trait T {\n    fn f();\n}\n"),
        ("src/folder/mod.rs", "mod inner;\n"),
        ("src/folder/inner.rs", "enum E {}\n"),
        ("src/else/where.rs", "mod beside;\n"),
        ("src/else/beside.rs", "fn g() {}\n"),
        ("src/inline/other.rs", "fn o() {}\n"),
        ("src/inline/type.rs", "fn r#fn() {}\n"),
        ("src/inline/deep.rs", "#[derive(A)]\n#[b]\nunion U { a: u8 }\n"),
    ]);
    let places = Places::of(&dir.path().join("src/main.rs"));
    for (file, line, column, expected) in [
        ("src/main.rs", 8, 5, Some("main")),
        ("src/main.rs", 10, 1, Some("")),
        ("src/main.rs", 6, 4, Some("inline::é")),
        ("src/plain.rs", 1, 1, Some("plain::A")),
        ("src/plain.rs", 3, 8, Some("plain::A::f")),
        ("src/plain.rs", 6, 20, Some("plain::A::C")),
        ("src/plain/below.rs", 2, 5, Some("plain::below::T::f")),
        ("src/folder/inner.rs", 1, 1, Some("folder::inner::E")),
        ("src/else/beside.rs", 1, 4, Some("named::beside::g")),
        ("src/inline/deep.rs", 1, 10, Some("inline::deep::U")),
        ("src/inline/deep.rs", 2, 1, Some("inline::deep::U")),
        ("src/inline/other.rs", 1, 1, Some("inline::odd::o")),
        ("src/inline/type.rs", 1, 1, Some("inline::type::fn")),
        ("src/nowhere.rs", 1, 1, None),
    ] {
        let file = dir.path().join(file);
        assert_eq!(places.path(&file, line, column), expected, "{}:{line}:{column}", file.display());
    }
    let order: Vec<_> =
        ["src/main.rs", "src/plain.rs", "src/plain/below.rs", "src/folder/mod.rs", "src/nowhere.rs"]
            .map(|file| places.order(&dir.path().join(file)))
            .into();
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn what_cant_be_read_has_no_places_and_does_no_harm() {
    let deep = format!("fn f() {{ {} }}", "(".repeat(100_000));
    let most = format!("fn f() -> bool {{ {} a }}", "!".repeat(99_000));
    let long = format!("fn f() -> bool {{ {} a }}", "!".repeat(100_000));
    let dir = crate_of(&[
        (
            "src/lib.rs",
            "mod itself;\nmod deep;\nmod long;\nmod most;\nmod generics;\nmod comments;\nmod more;\nmod closures;\nmod table;\nmod none;\n#[path = \"/dev/zero\"]\nmod zero;\nfn f() {}\n",
        ),
        ("src/itself.rs", "#[path = \"itself.rs\"]\nmod again;\n#[path = \"lib.rs\"]\nmod whole;\n"),
        ("src/deep.rs", &deep),
        ("src/long.rs", &long),
        ("src/most.rs", &most),
        ("src/generics.rs", &format!("type T = {}u8", "A<u8,".repeat(200_000))),
        ("src/comments.rs", &format!("const A: bool = {}a;", "!/*;*/".repeat(200_000))),
        ("src/more.rs", &format!("const A: bool = {}a;", "!/*)*/".repeat(200_000))),
        ("src/closures.rs", &format!("const A: bool = {}a;", "|a,b|".repeat(100_000))),
        ("src/table.rs", &format!("const A: &[u8] = &[{}];\nfn after() {{}}\n", "1, ".repeat(200_000))),
        ("src/none.rs", "fn {"),
    ]);
    let places = Places::of(&dir.path().join("src/lib.rs"));
    assert_eq!(places.path(&dir.path().join("src/lib.rs"), 13, 1), Some("f"));
    assert_eq!(places.path(&dir.path().join("src/deep.rs"), 1, 1), None);
    assert_eq!(places.path(&dir.path().join("src/long.rs"), 1, 1), None);
    assert_eq!(places.path(&dir.path().join("src/most.rs"), 1, 50_000), Some("most::f"));
    assert_eq!(places.path(&dir.path().join("src/table.rs"), 2, 1), Some("table::after"));
    assert_eq!(Places::of(Path::new("/dev/zero")).path(Path::new("/dev/zero"), 1, 1), None);
}

#[test]
fn a_path_is_in_its_modules() {
    for (path, item, expected) in [
        ("a::b", "a", true),
        ("a::b", "a::b", true),
        ("ab", "a", false),
        ("a", "a::b", false),
        ("a", "", true),
    ] {
        assert_eq!(is_in(path, item), expected, "{path} {item}");
    }
}
