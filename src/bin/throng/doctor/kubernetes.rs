//! A Pod spec fragment: the settings that a Pod may make, and those of the node.
//!
//! Three kinds of setting (see `Scope`): allowed for every Pod, allowed if kubelet permits it, and settings of the
//! node. The fragment is valid YAML that works on a stock cluster; settings that the cluster must permit are
//! comments.

use super::needs::{self, Plan};
use super::settings::{Scope, Setting, settings};
use super::text::{bytes, count_text};

/// A common limit of container runtimes, for which the fragment names the number of shards.
const COMMON_NOFILE: u64 = 65_536;

/// The fragment for `plan`.
pub(super) fn pod(plan: &Plan) -> String {
    let list = settings(plan);
    let of = |scope: Scope| list.iter().filter(move |setting| setting.scope == scope);
    [
        head(plan),
        security(of(Scope::Safe), of(Scope::Unsafe)),
        node(of(Scope::Node)),
        descriptors(plan),
        container(plan),
    ]
    .concat()
}

fn head(plan: &Plan) -> String {
    format!(
        "# throng for {} connections in one Pod: put this under spec.template of a Deployment.\n\
         # Printed by: throng doctor --connections {} --emit kubernetes\n\
         #\n\
         # Its configuration, which holds keys, comes from a Secret; without it the Pod does not start. To make one:\n\
         #   printf '[client.token]\\nhmac_secret_key = \"%s\"\\n[http_api]\\nkey = \"%s\"\\n' \\\n\
         #     \"$(openssl rand -hex 32)\" \"$(openssl rand -hex 32)\" > throng.toml\n\
         #   throng config --check --config throng.toml\n\
         #   kubectl create secret generic throng --from-file=throng.toml\n\
         # With these two keys clients need a token and callers of the server API the other key; docs/CONFIGURATION.md has\n\
         # the rest. A Secret that changed is read anew by: curl -X POST -H 'X-API-Key: KEY' http://POD:{control}/api/reload\n\
         spec:\n\
         \x20 # A drain takes 10 s, and up to 5 s more for stragglers; without hostNetwork, so that the sysctls are the Pod's.\n\
         \x20 terminationGracePeriodSeconds: 30\n",
        count_text(plan.connections),
        plan.connections,
        control = plan.control_port
    )
}

fn sysctl_items<'a>(list: impl Iterator<Item = &'a Setting>, indent: &str) -> String {
    list.map(|setting| {
        format!(
            "{indent}# {}\n{indent}- name: {}\n{indent}  value: \"{}\"\n",
            setting.why, setting.key, setting.value
        )
    })
    .collect()
}

fn security<'a>(
    safe: impl Iterator<Item = &'a Setting>,
    guarded: impl Iterator<Item = &'a Setting> + Clone,
) -> String {
    let keys: Vec<&str> = guarded.clone().map(|setting| setting.key).collect();
    let values: Vec<String> =
        guarded.clone().map(|setting| format!("{}={}", setting.key, setting.value)).collect();
    format!(
        "\x20 securityContext:\n\
         \x20   runAsNonRoot: true\n\
         \x20   runAsUser: 65532\n\
         \x20   # Filters unshare(2), so all shards share one descriptor table (throng says so at start). A Localhost\n\
         \x20   # profile that allows unshare gives each shard its own, and the limit below then holds per shard.\n\
         \x20   seccompProfile:\n\
         \x20     type: RuntimeDefault\n\
         \x20   sysctls:\n\
         \x20     # Safe: every Pod may set these (ip_local_reserved_ports since Kubernetes 1.27).\n\
         {}\
         \x20     # Unsafe: the Pod is refused unless the node's kubelet runs with\n\
         \x20     # --allowed-unsafe-sysctls={}\n\
         {}\
         \x20 # The unsafe ones without kubelet's consent: an init container shares the Pod's network namespace.\n\
         \x20 # initContainers:\n\
         \x20 #   - name: sysctls\n\
         \x20 #     image: busybox:1.36\n\
         \x20 #     securityContext: {{ privileged: true, runAsNonRoot: false, runAsUser: 0 }}\n\
         \x20 #     command: [sysctl, -w, {}]\n",
        sysctl_items(safe, "      "),
        keys.join(","),
        sysctl_items(guarded, "      # "),
        values.join(", "),
    )
}

fn node<'a>(list: impl Iterator<Item = &'a Setting>) -> String {
    let lines: String = list.map(|setting| format!("  #   {} = {}\n", setting.key, setting.value)).collect();
    format!(
        "\x20 # The node's own, for all its Pods (node image, DaemonSet or tuning/apply there), never lower than it has:\n{lines}"
    )
}

fn descriptors(plan: &Plan) -> String {
    let need = needs::descriptors_of_process(plan.connections, needs::SHARDS_MAX);
    let low = if need <= COMMON_NOFILE {
        format!("{} (common) is enough", count_text(COMMON_NOFILE))
    } else {
        let shards = needs::shards_needed(plan.connections, COMMON_NOFILE).unwrap_or(needs::SHARDS_MAX);
        format!("with unshare allowed, --shards {shards} holds them under {} each", count_text(COMMON_NOFILE))
    };
    format!(
        "\x20 # Descriptors: no Pod can set RLIMIT_NOFILE; it comes from the container runtime (LimitNOFILE of containerd\n\
         \x20 # or CRI-O on the node). {} are needed in one table; {low}.\n",
        count_text(need),
    )
}

fn container(plan: &Plan) -> String {
    let need = plan.memory_bytes();
    let request = need.div_ceil(1 << 20);
    // A quarter more: a page of queued data for some of the sockets, and unknown needs.
    let limit = (need + need / 4).div_ceil(1 << 20);
    let (control, data) = (plan.control_port, &plan.data_ports);
    let listen: String = data.iter().map(|port| format!(", --listen, \"0.0.0.0:{port}\"")).collect();
    let ports: String = data
        .iter()
        .map(|port| format!("        - name: data-{port}\n          containerPort: {port}\n"))
        .collect();
    format!(
        "\x20 containers:\n\
         \x20   - name: throng\n\
         \x20     image: throng:latest   # yours\n\
         \x20     args: [serve, --config, /etc/throng/throng.toml{listen}, --control, \"0.0.0.0:{control}\"]\n\
         \x20     ports:\n\
         {ports}\
         \x20       - name: control\n\
         \x20         containerPort: {control}\n\
         \x20     volumeMounts:\n\
         \x20       - name: configuration\n\
         \x20         mountPath: /etc/throng\n\
         \x20         readOnly: true\n\
         \x20     # Memory of the Pod counts the kernel's sockets: {} slab, {} throng's own, {} queues.\n\
         \x20     resources:\n\
         \x20       requests:\n\
         \x20         cpu: \"1\"\n\
         \x20         memory: {request}Mi\n\
         \x20       limits:\n\
         \x20         memory: {limit}Mi\n\
         \x20     readinessProbe:\n\
         \x20       httpGet: {{ path: /ready, port: control }}\n\
         \x20       periodSeconds: 5\n\
         \x20     livenessProbe:\n\
         \x20       httpGet: {{ path: /health, port: control }}\n\
         \x20       periodSeconds: 10\n\
         \x20     securityContext:\n\
         \x20       allowPrivilegeEscalation: false\n\
         \x20       readOnlyRootFilesystem: true\n\
         \x20       capabilities:\n\
         \x20         drop: [ALL]\n\
         \x20 volumes:\n\
         \x20   - name: configuration\n\
         \x20     secret:\n\
         \x20       secretName: throng\n\
         \x20       defaultMode: 0444\n",
        bytes(plan.kernel_bytes()),
        bytes(plan.own_bytes()),
        bytes(plan.queued_bytes_max),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fake::plan;

    #[test]
    fn every_setting_is_in_the_fragment_with_the_profiles_value() {
        let plan = plan(250_000);
        let text = pod(&plan);
        for setting in settings(&plan) {
            let known = match setting.scope {
                Scope::Safe => {
                    format!("      - name: {}\n        value: \"{}\"\n", setting.key, setting.value)
                }
                Scope::Unsafe => {
                    format!("      # - name: {}\n      #   value: \"{}\"\n", setting.key, setting.value)
                }
                Scope::Node => format!("  #   {} = {}\n", setting.key, setting.value),
            };
            assert!(text.contains(&known), "{}", setting.key);
        }
    }

    /// Without settings for clients, the server would accept anyone, or not start at all.
    #[test]
    fn the_configuration_comes_from_a_secret() {
        let text = pod(&plan(50_000));
        assert!(
            text.contains("args: [serve, --config, /etc/throng/throng.toml, --listen, \"0.0.0.0:8000\""),
            "{text}"
        );
        for line in [
            "mountPath: /etc/throng",
            "secretName: throng",
            "create secret generic throng --from-file=throng.toml",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn only_what_every_cluster_allows_is_asked_for() {
        let text = pod(&plan(50_000));
        let asked: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("      - name: net.")).collect();
        assert_eq!(asked, ["ipv4.ip_local_reserved_ports", "ipv4.ip_local_port_range"]);
    }
}
