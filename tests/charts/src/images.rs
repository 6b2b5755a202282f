//! The images' recipes: an empty image, a static program, a user without rights.

use anyhow::{Context, Result, bail};
use xtask::places;

use crate::helm::Helm;
use crate::{chart, manifest};

pub fn check(helm: &Helm) -> Result<()> {
    let folder = places::checkout()?.join("deploy/image");
    let passwd = std::fs::read_to_string(folder.join("passwd"))?;
    let group = std::fs::read_to_string(folder.join("group"))?;
    let objects = helm.template(&[])?;
    let deployment = manifest::the(&objects, "Deployment")?;
    let security = &deployment["spec"]["template"]["spec"]["securityContext"];
    let user = security["runAsUser"]
        .as_u64()
        .context("the chart names no user")?;
    if !passwd.contains(&format!(":x:{user}:{user}:")) || !group.contains(&format!(":x:{user}:")) {
        bail!("user {user} of the chart is not in deploy/image/passwd and group");
    }
    if chart::container(deployment)["command"].is_array() {
        bail!("the chart takes the entry point's place");
    }
    for program in ["mainstay", "mainstay-operator"] {
        let name = format!("{program}.Dockerfile");
        let text = std::fs::read_to_string(folder.join(&name)).with_context(|| name.clone())?;
        let last = text.rsplit("\nFROM ").next().unwrap_or_default();
        let user = format!("USER {user}:{user}\n");
        let program = format!("/usr/local/bin/{program}");
        let wanted = [
            "scratch\n",
            "COPY deploy/image/passwd deploy/image/group /etc/\n",
            "/etc/ssl/certs/ca-certificates.crt\n",
            &format!(" {program}\n"),
            &user,
            &format!("ENTRYPOINT [\"{program}\"]\n"),
        ];
        for line in wanted {
            if !last.contains(line) {
                bail!("the last stage of {name} lacks {:?}", line.trim());
            }
        }
        if last.contains("RUN ") || !last.starts_with("scratch\n") {
            bail!("the image of {name} is not made from scratch");
        }
    }
    Ok(())
}
