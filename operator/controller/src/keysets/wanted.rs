//! From what is declared, and what its sources hold, to keys and values. A function: it reads
//! nothing by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mainstay_operator_api::keyset::{
    DeclaredKey, Entries, EntrySource, KEYS_MAX, MainstayKeySetSpec,
};

use super::template::{Failure, Renderer};

/// Where values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    ConfigMap,
    Secret,
}

/// An object of the set's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    pub kind: Kind,
    pub name: String,
}

/// What an object holds.
pub type Data = BTreeMap<String, Bytes>;

/// What is known of the sources; `None` for one that is not there.
pub type Sources = BTreeMap<Source, Option<Arc<Data>>>;

/// What the keys of a set are to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Keys without the prefix.
    pub values: BTreeMap<String, Bytes>,
    /// What is missing.
    pub missing: BTreeSet<String>,
    /// Templates that have no value, and why.
    pub failed: Vec<String>,
    /// What cannot be as it is declared.
    pub refused: Vec<String>,
}

impl Wanted {
    /// Whether all that is declared is known, so that what is not among it is not declared.
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.failed.is_empty() && self.refused.is_empty()
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.kind, self.name)
    }
}

/// The object and the entry that a source is; `None` for what the resource's rules refuse.
fn entry(from: &EntrySource) -> Option<(Source, &str)> {
    let (kind, entry) = match (&from.config_map, &from.secret) {
        (Some(entry), _) => (Kind::ConfigMap, entry),
        (None, Some(entry)) => (Kind::Secret, entry),
        (None, None) => return None,
    };
    let name = entry.name.clone();
    Some((Source { kind, name }, &entry.key))
}

fn whole(entries: &Entries) -> Option<Source> {
    let (kind, name) = match (&entries.config_map, &entries.secret) {
        (Some(name), _) => (Kind::ConfigMap, name),
        (None, Some(name)) => (Kind::Secret, name),
        (None, None) => return None,
    };
    let name = name.clone();
    Some(Source { kind, name })
}

/// All objects that a spec names.
pub fn sources(spec: &MainstayKeySetSpec) -> BTreeSet<Source> {
    let keys = spec.keys.iter().filter_map(|key| key.from.as_ref());
    let variables = spec
        .variables
        .iter()
        .filter_map(|named| named.from.as_ref());
    let single = keys.chain(variables).filter_map(entry);
    let single = single.map(|(source, _)| source);
    single
        .chain(spec.entries.iter().filter_map(whole))
        .collect()
}

/// What the keys of a set are to be.
pub fn wanted(spec: &MainstayKeySetSpec, sources: &Sources) -> Wanted {
    let mut builder = Builder {
        sources,
        wanted: Wanted::default(),
        twice: BTreeSet::new(),
    };
    let variables = builder.variables(spec);
    let variables = variables
        .iter()
        .map(|(name, value)| (*name, value.as_deref()))
        .collect();
    let renderer = Renderer::default();
    for key in &spec.keys {
        if let Some(value) = builder.value(key, &renderer, &variables) {
            builder.add(key.key.clone(), value);
        }
    }
    for entries in &spec.entries {
        builder.entries(entries);
    }
    builder.end()
}

struct Builder<'a> {
    sources: &'a Sources,
    wanted: Wanted,
    twice: BTreeSet<String>,
}

impl Builder<'_> {
    fn object(&mut self, source: &Source) -> Option<Arc<Data>> {
        let found = self.sources.get(source).cloned().flatten();
        if found.is_none() {
            let missing = format!("{source} is missing");
            self.wanted.missing.insert(missing);
        }
        found
    }

    fn entry(&mut self, from: &EntrySource) -> Option<Bytes> {
        let (source, key) = entry(from)?;
        let object = self.object(&source)?;
        let found = object.get(key).cloned();
        if found.is_none() {
            let missing = format!("{source} has no entry {key}");
            self.wanted.missing.insert(missing);
        }
        found
    }

    fn variables<'s>(&mut self, spec: &'s MainstayKeySetSpec) -> BTreeMap<&'s str, Option<String>> {
        let mut values = BTreeMap::new();
        for variable in &spec.variables {
            let value = match (&variable.value, &variable.from) {
                (Some(value), _) => Some(value.clone()),
                (None, Some(from)) => {
                    let found = self.entry(from);
                    found.and_then(|bytes| self.text(&variable.name, bytes))
                }
                (None, None) => None,
            };
            values.insert(variable.name.as_str(), value);
        }
        values
    }

    fn text(&mut self, name: &str, bytes: Bytes) -> Option<String> {
        let text = String::from_utf8(bytes.to_vec()).ok();
        if text.is_none() {
            let failed = format!("the variable {name} is no text");
            self.wanted.failed.push(failed);
        }
        text
    }

    fn value(
        &mut self,
        key: &DeclaredKey,
        renderer: &Renderer,
        variables: &BTreeMap<&str, Option<&str>>,
    ) -> Option<Bytes> {
        if let Some(text) = &key.value {
            return Some(Bytes::copy_from_slice(text.as_bytes()));
        }
        if let Some(text) = &key.base64 {
            let decoded = STANDARD.decode(text).map(Bytes::from);
            if decoded.is_err() {
                let refused = format!("{} is not in Base64", key.key);
                self.wanted.refused.push(refused);
            }
            return decoded.ok();
        }
        if let Some(from) = &key.from {
            return self.entry(from);
        }
        let template = key.template.as_deref()?;
        match renderer.render(template, variables) {
            Ok(text) => Some(Bytes::from(text)),
            Err(Failure::Unknown) => None,
            Err(Failure::Wrong(words)) => {
                self.wanted.failed.push(format!("{}: {words}", key.key));
                None
            }
        }
    }

    fn entries(&mut self, entries: &Entries) {
        let Some(source) = whole(entries) else { return };
        let Some(object) = self.object(&source) else {
            return;
        };
        let under = entries.under.as_deref().unwrap_or_default();
        for (name, value) in object.iter() {
            self.add(format!("{under}{name}"), value.clone());
        }
    }

    fn add(&mut self, key: String, value: Bytes) {
        if self.wanted.values.insert(key.clone(), value).is_some() {
            self.twice.insert(key);
        }
    }

    /// A key that is declared twice is left as it is: no rule says which declaration counts.
    fn end(mut self) -> Wanted {
        for key in &self.twice {
            self.wanted.values.remove(key);
            self.wanted.refused.push(format!("{key} is declared twice"));
        }
        let count = self.wanted.values.len();
        if count > KEYS_MAX {
            let refused =
                format!("{count} keys are declared, and {KEYS_MAX} are the most there may be");
            self.wanted.refused.push(refused);
            self.wanted.values.clear();
        }
        self.wanted
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(more: Value) -> MainstayKeySetSpec {
        let mut spec = json!({ "cluster": "db", "prefix": "p/" });
        let (into, from) = (spec.as_object_mut().unwrap(), more.as_object().unwrap());
        into.extend(from.clone());
        serde_json::from_value(spec).unwrap()
    }

    fn holding(kind: Kind, name: &str, data: &[(&str, &str)]) -> (Source, Option<Arc<Data>>) {
        let data = data.iter();
        let data = data.map(|(key, value)| ((*key).to_owned(), Bytes::from((*value).to_owned())));
        let name = name.to_owned();
        (Source { kind, name }, Some(Arc::new(data.collect())))
    }

    fn texts(wanted: &Wanted) -> Vec<String> {
        let values = wanted.values.iter();
        values
            .map(|(key, value)| format!("{key}={}", String::from_utf8_lossy(value)))
            .collect()
    }

    #[test]
    fn every_kind_of_source_gives_its_value() {
        let spec = spec(json!({
            "keys": [
                { "key": "inline", "value": "1" },
                { "key": "bytes", "base64": "AAE=" },
                { "key": "one", "from": { "configMap": { "name": "m", "key": "a" } } },
                { "key": "url", "template": "{{ host }}:{{ port }}" },
            ],
            "entries": [{ "secret": "s", "under": "all/" }],
            "variables": [
                { "name": "host", "value": "h" },
                { "name": "port", "from": { "secret": { "name": "s", "key": "port" } } },
            ],
        }));
        let found: Sources = [
            holding(Kind::ConfigMap, "m", &[("a", "A")]),
            holding(Kind::Secret, "s", &[("port", "1")]),
        ]
        .into();
        assert_eq!(sources(&spec), found.keys().cloned().collect());
        let wanted = wanted(&spec, &found);
        assert!(wanted.is_whole(), "{wanted:?}");
        let told = [
            "all/port=1",
            "bytes=\0\u{1}",
            "inline=1",
            "one=A",
            "url=h:1",
        ];
        assert_eq!(texts(&wanted), told);
    }

    #[test]
    fn what_is_missing_leaves_the_rest_as_it_is() {
        let spec = spec(json!({
            "keys": [
                { "key": "inline", "value": "1" },
                { "key": "one", "from": { "configMap": { "name": "m", "key": "b" } } },
                { "key": "two", "from": { "secret": { "name": "gone", "key": "b" } } },
                { "key": "url", "template": "{{ host }}" },
            ],
            "variables": [{ "name": "host", "from": { "secret": { "name": "gone", "key": "h" } } }],
        }));
        let wanted = wanted(
            &spec,
            &[holding(Kind::ConfigMap, "m", &[("a", "A")])].into(),
        );
        assert_eq!(texts(&wanted), ["inline=1"]);
        assert!(!wanted.is_whole());
        let missing: Vec<&String> = wanted.missing.iter().collect();
        assert_eq!(
            missing,
            ["ConfigMap m has no entry b", "Secret gone is missing"]
        );
        assert!(
            wanted.failed.is_empty(),
            "the template waits for its variable"
        );
    }

    #[test]
    fn a_key_declared_twice_has_no_value() {
        let spec = spec(json!({
            "keys": [{ "key": "a", "value": "1" }, { "key": "b", "value": "2" }],
            "entries": [{ "configMap": "m" }],
        }));
        let wanted = wanted(
            &spec,
            &[holding(Kind::ConfigMap, "m", &[("a", "A")])].into(),
        );
        assert_eq!(texts(&wanted), ["b=2"]);
        assert_eq!(wanted.refused, ["a is declared twice"]);
    }
}
