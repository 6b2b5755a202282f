//! The names that certificates must have so that clients and members find whom they dialled.

/// Of one cluster.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    pub cluster: &'a str,
    pub namespace: &'a str,
    /// `cluster.local` as a rule.
    pub domain: &'a str,
}

impl Place<'_> {
    /// What a member shows to clients: the client Services in each spelling, itself through the
    /// headless Service, loopback for commands in its own pod, and what the user adds.
    pub fn server(&self, extra: &[String]) -> Vec<String> {
        let mut names = Vec::new();
        for service in ["client", "leader"] {
            names.extend(self.spellings(&format!("{}-{service}", self.cluster)));
        }
        names.extend(self.members());
        names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
        for name in extra {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// What a member shows to members.
    pub fn peer(&self) -> Vec<String> {
        self.members()
    }

    /// Any member behind the headless Service: one certificate serves all, whatever the size.
    fn members(&self) -> Vec<String> {
        let service = format!("{}-peer", self.cluster);
        let spellings = self.spellings(&service);
        // A wildcard directly above a single label is refused by TLS libraries.
        let dotted = spellings.iter().skip(1);
        dotted.map(|name| format!("*.{name}")).collect()
    }

    fn spellings(&self, service: &str) -> Vec<String> {
        let (namespace, domain) = (self.namespace, self.domain);
        vec![
            service.to_owned(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.{domain}"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_find_the_services_and_each_member() {
        let place = Place {
            cluster: "a",
            namespace: "n",
            domain: "cluster.local",
        };
        let names = place.server(&["db.example.com".into(), "localhost".into()]);
        for name in [
            "a-client",
            "a-client.n.svc",
            "a-leader.n.svc.cluster.local",
            "*.a-peer.n.svc",
            "*.a-peer.n.svc.cluster.local",
            "::1",
            "db.example.com",
        ] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
        let twice = names.iter().filter(|name| *name == "localhost");
        assert_eq!(twice.count(), 1);
        assert!(place.peer().iter().all(|name| name.starts_with("*.a-peer")));
    }
}
