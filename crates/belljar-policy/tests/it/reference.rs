//! The reference and the schema in `docs/`.

use std::path::Path;

use belljar_policy::{File, reference};
use serde_json::{Map, Value, json};

fn doc(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn reference_and_schema_are_current() {
    assert!(doc("policy.md") == reference::markdown(), "docs/policy.md is old: run `cargo xtask schema`");
    assert!(
        doc("belljar.schema.json") == reference::schema(),
        "docs/belljar.schema.json is old: run `cargo xtask schema`"
    );
}

#[test]
fn the_examples_of_the_reference_are_right() {
    let text = reference::markdown();
    let mut examples = 0;
    for block in text.split("```toml\n").skip(1) {
        let example = block.split("```").next().unwrap();
        let whole = match example {
            _ if example.contains("[[grant]]") || example.starts_with("mode") => example.to_owned(),
            _ if ["memory", "stack", "output", "time = 1"].iter().any(|key| example.starts_with(key)) => {
                format!("[[grant]]\nmacro = \"a\"\nreason = \"b\"\nlimits.{example}")
            }
            _ => {
                let rest = [("macro", "macro = \"a\"\n"), ("reason", "reason = \"b\"\n")];
                let rest = rest.iter().filter(|(key, _)| !example.starts_with(key)).map(|(_, line)| *line);
                format!("[[grant]]\n{}{example}", rest.collect::<String>())
            }
        };
        if let Err(mistakes) = File::parse(&whole, "x") {
            panic!("{whole}\n{}", mistakes[0]);
        }
        judge_alike(&whole, true);
        examples += 1;
    }
    assert!(examples > 15);
}

/// What the parser and the schema both see.
const GOOD: &[&str] = &[
    "",
    "# only a comment",
    "mode = \"enforce\"",
    "grant = []",
    "grant = [{ macro = \"a\", reason = \"b\", read = [\"x\"] }]",
    "[[grant]]\nmacro = \"a-b_c1\"\nreason = \"b\"",
    "[[grant]]\nmacro = \"größe\"\nreason = \"b\"\nfor = \"x\"\nwide = false\nstate = \"call\"",
    "[[grant]]\nmacro = \"a\"\nreason = \"b\"\nfor = [\"x\", \"y\"]\nread = []\nlist = [\".\", \"..\", \"../x\", \"./x\", \"/x/**\"]",
    "[[grant]]\nmacro = \"a\"\nreason = \"b\"\nread = [\"workspace:x\", \"workspace:../x/*\", \"a/{b,c}/[!d]?\", \"a..b/..c/x\", 'a\\*']",
    "[[grant]]\nmacro = \"a\"\nreason = \"b\"\nenv = [\"A\", \"B_*\", \"a.b-c\"]\nrandom = \"s\"\ntime = true",
    "[[grant]]\nmacro = \"a\"\nreason = \"b\"\nwide = true\nenv = [\"*\"]\nread = [\"/\"]",
    "[[grant]]\nmacro = \"a\"\nreason = \"b\"\nlimits = { time = 0.5, memory = \"1.5 GiB\", stack = \"64MiB\", output = \"200 MB\" }",
    "[[grant]]\nmacro = \"a\"\nreason = \"b\"\n[grant.limits]\ntime = 86400",
];

const VERSIONS: &[&str] = &[
    "1",
    "0.12",
    "0.12.3",
    "^1.2",
    "~1.2.3",
    "=1.2.3",
    ">=1, <2",
    ">= 1.2 , < 1.5",
    "*",
    "1.*",
    "1.2.*",
    "1.2.x",
    " 1 ",
    "1.0.0-rc.1",
    "1.2.3+build",
    "latest",
    "v1",
    "1.2.3.4",
    "1,",
    "one",
    "1 2",
    "",
    " ",
];

const BAD: &[&str] = &[
    "mode = \"Report\"",
    "mode = 1",
    "mod = \"report\"",
    "grant = {}",
    "grant = \"x\"",
    "grant = [1]",
    "[grant]\nmacro = \"a\"\nreason = \"b\"",
    "[[grant]]",
    "[[grant]]\nmacro = \"a\"",
    "[[grant]]\nreason = \"a\"",
    "[[grant]]\nmacro = \"\"\nreason = \"b\"",
    "[[grant]]\nmacro = \"a b\"\nreason = \"b\"",
    "[[grant]]\nmacro = \"a@1\"\nreason = \"b\"",
    "[[grant]]\nmacro = [\"a\"]\nreason = \"b\"",
    "[[grant]]\nmacro = \"a\"\nreason = \" \"",
    "[[grant]]\nmacro = \"a\"\nreason = true",
];

const BAD_LINES: &[&str] = &[
    "raed = []",
    "for = []",
    "for = 1",
    "for = [\"a/b\"]",
    "for = [\"\"]",
    "read = \"x\"",
    "read = [1]",
    "read = [\"\"]",
    "read = [\"x/\"]",
    "read = [\"~\"]",
    "read = [\"~/x\"]",
    "read = [\"$HOME/x\"]",
    "read = [\"a/${X}\"]",
    "read = [\"workspace:\"]",
    "read = [\"workspace:/x\"]",
    "read = [\"a/../b\"]",
    "read = [\"../a/..\"]",
    "read = [\"/..\"]",
    "read = [\"/a/../b\"]",
    "list = [\"a\\u0000b\"]",
    "list = { a = 1 }",
    "env = \"A\"",
    "env = [\"\"]",
    "env = [\"A=1\"]",
    "env = [\"$A\"]",
    "env = [\"A*B\"]",
    "env = [\"**\"]",
    "env = [\"A B\"]",
    "env = [\"%A%\"]",
    "state = \"global\"",
    "state = true",
    "random = 5",
    "random = \"\"",
    "time = \"true\"",
    "time = 1",
    "wide = \"true\"",
    "limits = 1",
    "limits = { time = 0 }",
    "limits = { time = -1 }",
    "limits = { time = 86401 }",
    "limits = { time = \"5\" }",
    "limits = { memory = 5 }",
    "limits = { memory = \"5\" }",
    "limits = { memory = \"GiB\" }",
    "limits = { memory = \"1 gib\" }",
    "limits = { memory = \"1.2.3 MiB\" }",
    "limits = { files = 1 }",
];

/// What only the parser sees.
const BAD_FOR_THE_PARSER: &[&str] = &[
    "read = [\"/**\"]",
    "read = [\"/home/x/**\"]",
    "read = [\"a**\"]",
    "read = [\"[a\"]",
    "read = [\"{a\"]",
    "env = [\"*\"]",
    "limits = { memory = \"1 B\" }",
    "time = true\n[[grant]]\nmacro = \"a\"\nreason = \"b\"\ntime = false",
];

fn in_a_grant(line: &str) -> String {
    format!("[[grant]]\nmacro = \"a\"\nreason = \"b\"\n{line}")
}

#[test]
fn the_schema_agrees_with_the_parser() {
    for text in GOOD {
        judge_alike(text, true);
    }
    for text in BAD {
        judge_alike(text, false);
    }
    for line in BAD_LINES {
        judge_alike(&in_a_grant(line), false);
    }
    for version in VERSIONS {
        let text = in_a_grant(&format!("version = {version:?}"));
        judge_alike(&text, File::parse(&text, "x").is_ok());
    }
    for line in BAD_FOR_THE_PARSER {
        let text = in_a_grant(line);
        assert!(File::parse(&text, "x").is_err(), "{text}");
        assert_eq!(by_schema(&text), Ok(()), "{text}");
    }
}

fn judge_alike(text: &str, good: bool) {
    let parser = File::parse(text, "x").map(drop).map_err(|mistakes| mistakes[0].to_string());
    assert_eq!(parser.is_ok(), good, "the parser on\n{text}\n{parser:?}");
    let schema = by_schema(text);
    assert_eq!(schema.is_ok(), good, "the schema on\n{text}\n{schema:?}");
}

fn by_schema(text: &str) -> Result<(), String> {
    let schema: Value = serde_json::from_str(&reference::schema()).unwrap();
    let document: toml_edit::DocumentMut = text.parse().unwrap();
    validate(&schema, &json_of(document.as_item()), "")
}

fn json_of(item: &toml_edit::Item) -> Value {
    use toml_edit::{Item, Value as Toml};
    let of_table = |table: &dyn toml_edit::TableLike| {
        Value::Object(table.iter().map(|(key, item)| (key.to_owned(), json_of(item))).collect::<Map<_, _>>())
    };
    let of_value = |value: &Toml| json_of(&Item::Value(value.clone()));
    match item {
        Item::None => Value::Null,
        Item::Table(table) => of_table(table),
        Item::ArrayOfTables(tables) => tables.iter().map(|table| of_table(table)).collect(),
        Item::Value(Toml::InlineTable(table)) => of_table(table),
        Item::Value(Toml::Array(array)) => array.iter().map(of_value).collect(),
        Item::Value(Toml::String(text)) => json!(text.value()),
        Item::Value(Toml::Integer(n)) => json!(n.value()),
        Item::Value(Toml::Float(n)) => json!(n.value()),
        Item::Value(Toml::Boolean(b)) => json!(b.value()),
        Item::Value(Toml::Datetime(date)) => json!(date.value().to_string()),
    }
}

/// The part of JSON Schema that the schema uses. A whole validator would be forty crates; a word that is not known here fails.
fn validate(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let fail = |why: &str| Err(format!("{at}: {why}: {value}"));
    for (word, wanted) in schema.as_object().unwrap() {
        let good = match word.as_str() {
            "$schema" | "title" | "description" | "additionalProperties" => true,
            "type" => match wanted.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "number" => value.is_number(),
                "boolean" => value.is_boolean(),
                other => panic!("type {other}"),
            },
            "enum" => wanted.as_array().unwrap().contains(value),
            "pattern" => {
                let regex = regex::Regex::new(wanted.as_str().unwrap()).unwrap();
                value.as_str().is_none_or(|text| regex.is_match(text))
            }
            "minLength" => {
                value.as_str().is_none_or(|text| text.chars().count() as u64 >= wanted.as_u64().unwrap())
            }
            "minItems" => value.as_array().is_none_or(|list| list.len() as u64 >= wanted.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|list| list.len() as u64 <= wanted.as_u64().unwrap()),
            "exclusiveMinimum" => value.as_f64().is_none_or(|n| n > wanted.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|n| n <= wanted.as_f64().unwrap()),
            "not" => validate(wanted, value, at).is_err(),
            "anyOf" => wanted.as_array().unwrap().iter().any(|schema| validate(schema, value, at).is_ok()),
            "required" => {
                let has = |key: &Value| value.get(key.as_str().unwrap()).is_some();
                wanted.as_array().unwrap().iter().all(has)
            }
            "items" => {
                for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(wanted, item, &format!("{at}/{n}"))?;
                }
                true
            }
            "properties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    match wanted.get(key) {
                        Some(schema) => validate(schema, value, &format!("{at}/{key}"))?,
                        None if schema["additionalProperties"] == json!(false) => {
                            return fail(&format!("key {key}"));
                        }
                        None => {}
                    }
                }
                true
            }
            other => panic!("the schema uses {other}"),
        };
        if !good {
            return fail(word);
        }
    }
    Ok(())
}
