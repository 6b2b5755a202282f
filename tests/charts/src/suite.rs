//! The suite: what fast programs can tell first, then what only an API server knows.

use anyhow::Result;

use crate::helm::Helm;
use crate::kubernetes::Kubernetes;
use crate::{
    account, alerts, chart, derived, flags, images, install, operator, refusals, rights, samples,
    switches, values,
};
use xtask::tally::Tally;

/// True if every case passed.
pub fn run(with_server: bool) -> Result<bool> {
    let helm = Helm::of_peers()?;
    let mut tally = Tally::default();
    tally.case("helm-lint-strict", || helm.lint(&[]));
    tally.case("one-version", chart::versions);
    tally.case("values-described", || values::described(&helm));
    tally.case("values-refused", || values::refused(&helm));
    tally.case("every-switch", || switches::check(&helm));
    tally.case("without-prometheus-operator", || {
        switches::without_monitoring(&helm)
    });
    tally.case("names", || chart::names(&helm));
    tally.case("rights-are-the-page", || rights::check(&helm));
    tally.case("flags-are-the-operator's", || flags::check(&helm));
    tally.case("ports-fit", || flags::ports(&helm));
    tally.case("definitions-are-crds", || chart::definitions(&helm));
    tally.case("copies-and-kustomize-base", derived::check);
    tally.case("image-recipes", || images::check(&helm));
    tally.case("alerts", alerts::rules);
    tally.case("alerts-have-a-runbook", alerts::runbook);
    tally.case("dashboard", alerts::dashboard);
    tally.case("metrics-exist", alerts::names);
    if with_server {
        on_a_server(&helm, &mut tally)?;
    }
    Ok(tally.close())
}

/// Cases that use one API server, in this order.
fn on_a_server(helm: &Helm, tally: &mut Tally) -> Result<()> {
    let mut server = None;
    tally.case("api-server", || {
        server = Some(Kubernetes::start()?);
        Ok(())
    });
    let Some(server) = server else {
        return Ok(());
    };
    tally.case("kustomize-base", || install::kustomize(&server));
    tally.case("install", || install::install(helm, &server));
    tally.case("upgrade-keeps-all", || install::upgrade(helm, &server));
    tally.case("pod-security", || install::pod_security(helm, &server));
    tally.case("definitions-of-others", || samples::definitions(&server));
    tally.case("rights", || account::everywhere(&server));
    tally.case("rights-in-named-namespaces", || {
        account::in_named_namespaces(helm, &server)
    });
    tally.case("every-switch-is-valid", || {
        install::every_switch(helm, &server)
    });
    tally.case("samples", || samples::check(&server));
    tally.case("bad-resources-refused", || refusals::on_create(&server));
    tally.case("bad-changes-refused", || refusals::on_update(&server));
    tally.case("columns-scale-explain", || samples::interface(&server));
    tally.case("operator-under-its-account", || {
        operator::run(helm, &server)
    });
    tally.case("reinstall-keeps-clusters", || {
        install::reinstall(helm, &server)
    });
    Ok(())
}
