//! A flow for Kubernetes: one Deployment whose pods each run the whole flow.
//!
//! No service mesh is needed: a client that balances by itself asks the headless Service. Pods have no token, no
//! capability, no writable root and no more memory than they asked for; probes are plain HTTP and cost nothing. Flow
//! files go into immutable ConfigMaps named by their digest, so a changed flow rolls the pods.

use lockgate_domain::Problem;
use serde_json::{Value, json};

use crate::bundle::{Bundle, END_SECONDS, Manifest, PORT, USER, image};

/// What a flow file does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesOptions {
    /// The namespace that all objects are in; none leaves it to `kubectl`.
    pub namespace: Option<String>,
    /// The image; none for one named by its components.
    pub image: Option<String>,
    /// Pods; none for two, or one if executors keep state in memory.
    pub replicas: Option<u32>,
    /// Most pods, which the load decides about; none for a fixed number.
    pub max_replicas: Option<u32>,
    /// Processors that a pod asks for, as Kubernetes writes them.
    pub cpu: String,
    /// Memory that a pod asks for and may not pass, as Kubernetes writes it.
    pub memory: String,
}

impl Default for KubernetesOptions {
    fn default() -> Self {
        Self {
            namespace: None,
            image: None,
            replicas: None,
            max_replicas: None,
            cpu: "1".to_owned(),
            memory: "1Gi".to_owned(),
        }
    }
}

/// The manifests, and the recipe of the image.
pub fn kubernetes(bundle: &Bundle<'_>, options: &KubernetesOptions) -> Result<Vec<Manifest>, Problem> {
    bundle.check()?;
    let name = bundle.name();
    let usual = if bundle.keeps_state() { 1 } else { 2 };
    let least = options.replicas.unwrap_or(usual).max(1);
    let most = options.max_replicas.filter(|most| *most > least);
    let object = |kind: &str, version: &str, name: &str, rest: Value| {
        let mut metadata = json!({ "name": name, "labels": labels(&bundle.name()) });
        if let (Some(namespace), Some(metadata)) = (&options.namespace, metadata.as_object_mut()) {
            metadata.insert("namespace".to_owned(), Value::from(namespace.as_str()));
        }
        let mut object = json!({ "apiVersion": version, "kind": kind, "metadata": metadata });
        if let (Some(object), Value::Object(rest)) = (object.as_object_mut(), rest) {
            object.extend(rest);
        }
        object
    };
    let config = object(
        "ConfigMap",
        "v1",
        &bundle.flow_name(),
        json!({ "immutable": true, "data": { "flow.yml": bundle.flow_file } }),
    );
    let mut deployment = json!({
        "selector": { "matchLabels": selector(&name) },
        "strategy": { "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 }, "type": "RollingUpdate" },
        "template": { "metadata": { "labels": labels(&name) }, "spec": pod(bundle, options) },
    });
    // Where the load decides, a fixed number would be set back with every apply.
    if most.is_none()
        && let Some(deployment) = deployment.as_object_mut()
    {
        deployment.insert("replicas".to_owned(), Value::from(least));
    }
    let port = json!([{ "name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP" }]);
    let service = json!({ "spec": { "selector": selector(&name), "ports": port } });
    let headless = json!({ "spec": { "clusterIP": "None", "selector": selector(&name), "ports": port } });
    let mut files = vec![
        Manifest::yaml("configmap.yml", &config)?,
        Manifest::yaml(
            "deployment.yml",
            &object("Deployment", "apps/v1", &name, json!({ "spec": deployment })),
        )?,
        Manifest::yaml("service.yml", &object("Service", "v1", &name, service))?,
        Manifest::yaml("service-headless.yml", &object("Service", "v1", &format!("{name}-pods"), headless))?,
    ];
    if least > 1 {
        let budget =
            json!({ "spec": { "maxUnavailable": 1, "selector": { "matchLabels": selector(&name) } } });
        let budget = object("PodDisruptionBudget", "policy/v1", &name, budget);
        files.push(Manifest::yaml("poddisruptionbudget.yml", &budget)?);
    }
    if let Some(most) = most {
        let scaler = object("HorizontalPodAutoscaler", "autoscaling/v2", &name, scaling(&name, least, most));
        files.push(Manifest::yaml("horizontalpodautoscaler.yml", &scaler)?);
    }
    files.push(image());
    Ok(files)
}

fn selector(name: &str) -> Value {
    json!({ "app.kubernetes.io/name": "lockgate", "app.kubernetes.io/instance": name })
}

fn labels(name: &str) -> Value {
    json!({
        "app.kubernetes.io/name": "lockgate",
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/component": "flow",
        "app.kubernetes.io/managed-by": "lockgate",
    })
}

fn pod(bundle: &Bundle<'_>, options: &KubernetesOptions) -> Value {
    let name = bundle.name();
    let image = bundle.image_name(options.image.as_deref());
    let secret = bundle.secret_name();
    let variables: Vec<Value> = bundle
        .variables
        .iter()
        .map(|variable| {
            json!({ "name": variable, "valueFrom": { "secretKeyRef": { "name": secret, "key": variable } } })
        })
        .collect();
    let scheme = if bundle.has_certificate() { "HTTPS" } else { "HTTP" };
    let probe = |path: &str| json!({ "httpGet": { "path": path, "port": "http", "scheme": scheme } });
    let (mut mounts, mut volumes) = (
        vec![
            json!({ "name": "flow", "mountPath": "/flow/flow.yml", "subPath": "flow.yml", "readOnly": true }),
            json!({ "name": "cache", "mountPath": "/cache" }),
            json!({ "name": "tmp", "mountPath": "/tmp" }),
        ],
        vec![
            json!({ "name": "flow", "configMap": { "name": bundle.flow_name() } }),
            json!({ "name": "cache", "emptyDir": {} }),
            json!({ "name": "tmp", "emptyDir": {} }),
        ],
    );
    if bundle.has_certificate() {
        let secret = bundle.certificate_secret_name();
        mounts.push(json!({ "name": "tls", "mountPath": "/tls", "readOnly": true }));
        volumes.push(json!({ "name": "tls", "secret": { "secretName": secret, "defaultMode": 0o440 } }));
    }
    let with = |mut probe: Value, more: Value| {
        if let (Some(probe), Value::Object(more)) = (probe.as_object_mut(), more) {
            probe.extend(more);
        }
        probe
    };
    let container = json!({
        "name": "lockgate",
        "image": image,
        "args": bundle.command(),
        "env": variables,
        "ports": [{ "name": "http", "containerPort": PORT, "protocol": "TCP" }],
        // Components are compiled before the first request: five minutes for that, then the others take over.
        "startupProbe": with(probe("/readyz"), json!({ "periodSeconds": 2, "failureThreshold": 150 })),
        "readinessProbe": with(probe("/readyz"), json!({ "periodSeconds": 5, "failureThreshold": 2 })),
        "livenessProbe": with(probe("/healthz"), json!({ "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3 })),
        "resources": {
            "requests": { "cpu": options.cpu, "memory": options.memory },
            "limits": { "memory": options.memory },
        },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"] },
            "readOnlyRootFilesystem": true,
        },
        "volumeMounts": mounts,
    });
    json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": END_SECONDS,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "topologySpreadConstraints": [{
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": selector(&name) },
        }],
        "containers": [container],
        "volumes": volumes,
    })
}

fn scaling(name: &str, least: u32, most: u32) -> Value {
    json!({ "spec": {
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": name },
        "minReplicas": least,
        "maxReplicas": most,
        "metrics": [{
            "type": "Resource",
            "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 70 } },
        }],
    } })
}

#[cfg(test)]
pub(crate) mod tests;
