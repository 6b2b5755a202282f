//! Values by templates. What a template may cost is bounded, since whoever may declare keys in one
//! namespace shares the operator with all others.

use std::collections::BTreeMap;

use minijinja::{Environment, ErrorKind, UndefinedBehavior};

/// What one template may use up. One is a step of the template or 64 bytes that it makes, so that a
/// value has a few megabytes at most.
const FUEL: u64 = 100_000;

/// Renders templates, all by the same rules: names that are not given are errors, nothing is escaped.
pub struct Renderer(Environment<'static>);

impl Default for Renderer {
    fn default() -> Renderer {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        Renderer(environment)
    }
}

/// Why a template has no value.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// A variable that it names cannot be told yet; that is said elsewhere.
    Unknown,
    /// In words, without any value: a variable may come from a Secret.
    Wrong(String),
}

impl Renderer {
    /// Variables that are declared and have no value yet are `None`.
    pub fn render(
        &self,
        template: &str,
        variables: &BTreeMap<&str, Option<&str>>,
    ) -> Result<String, Failure> {
        let wrong = |error: minijinja::Error| Failure::Wrong(words(&error));
        let template = self.0.template_from_str(template).map_err(wrong)?;
        let mut named: Vec<String> = template.undeclared_variables(false).into_iter().collect();
        named.sort();
        for name in named {
            match variables.get(name.as_str()) {
                Some(Some(_)) => {}
                Some(None) => return Err(Failure::Unknown),
                None if self.0.globals().any(|(global, _)| global == name) => {}
                None => {
                    return Err(Failure::Wrong(format!(
                        "it names {name}, which spec.variables lacks"
                    )));
                }
            }
        }
        let known = variables.iter();
        let known: BTreeMap<&str, &str> = known
            .filter_map(|(name, value)| Some((*name, (*value)?)))
            .collect();
        template
            .render(minijinja::Value::from_pairs(known))
            .map_err(wrong)
    }
}

/// Details are told only where they can hold nothing but the template's own text.
fn words(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!(" in line {line}"));
    let line = line.unwrap_or_default();
    let detail = match error.kind() {
        ErrorKind::SyntaxError | ErrorKind::UnknownFilter | ErrorKind::UnknownFunction => {
            error.detail()
        }
        _ => None,
    };
    match detail {
        Some(detail) => format!("{}{line}: {detail}", error.kind()),
        None => format!("{}{line}", error.kind()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str) -> Result<String, Failure> {
        let variables = [
            ("host", Some("a<b")),
            ("secret", Some("s3cret")),
            ("late", None),
        ];
        Renderer::default().render(template, &variables.into_iter().collect())
    }

    fn wrong(template: &str) -> String {
        match render(template) {
            Err(Failure::Wrong(words)) => words,
            other => panic!("{template} gave {other:?}"),
        }
    }

    #[test]
    fn variables_are_put_in_as_they_are() {
        assert_eq!(render("{{ host }}:2379").unwrap(), "a<b:2379");
        assert_eq!(
            render("{% if host %}{{ host | upper }}{% endif %}").unwrap(),
            "A<B"
        );
        assert_eq!(
            render("{% for i in range(2) %}{{ i }}{% endfor %}").unwrap(),
            "01"
        );
    }

    #[test]
    fn what_is_wrong_is_told_without_values() {
        assert!(wrong("{{ port }}").contains("names port"));
        assert!(wrong("{{ host").contains("syntax error"));
        assert!(wrong("{{ host | nosuch }}").contains("nosuch"));
        let told = wrong("{{ secret | int }}");
        assert!(!told.contains("s3cret"), "{told}");
        assert_eq!(render("{{ late }}"), Err(Failure::Unknown));
    }

    #[test]
    fn no_template_costs_more_than_it_may() {
        let doubled = "{% set x = 'aaaaaaaa' %}".to_owned() + &"{% set x = x ~ x %}".repeat(40);
        assert!(wrong(&format!("{doubled}{{{{ x }}}}")).contains("fuel"));
        assert!(
            wrong(
                "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}"
            )
            .contains("fuel")
        );
        assert!(wrong("{{ 'a' * 90000000 }}").contains("fuel"));
    }
}
