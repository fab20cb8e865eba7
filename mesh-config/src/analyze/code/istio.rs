//! Istio's codes (`pkg/config/analysis/msg/messages.yaml`): code, name, level and the arguments are Istio's.

super::codes! {
    /// Istio's codes, by number. Retired numbers are not used again.
    ISTIO:
    INTERNAL_ERROR = "IST0001" Error "InternalError", "Internal error: {detail}",
        "The analysis itself failed.", "";
    DEPRECATED = "IST0002" Warning "Deprecated", "Deprecated: {detail}",
        "A deprecated setting is used.", "move to what the message names before the setting goes away";
    REFERENCED_RESOURCE_NOT_FOUND = "IST0101" Error "ReferencedResourceNotFound", "Referenced {reftype} not found: {refval:?}",
        "Something that is referred to does not exist.", "create it, or correct the name; a name without a namespace means the object's own namespace";
    NAMESPACE_NOT_INJECTED = "IST0102" Info "NamespaceNotInjected",
        "The namespace is not enabled for Istio injection. Run 'kubectl label namespace {namespace} istio-injection=enabled' to enable it, or set istio-injection=disabled on {namespace} to say that it is meant so.",
        "A namespace with pods does not say whether its pods get a sidecar.", "";
    POD_MISSING_PROXY = "IST0103" Warning "PodMissingProxy", "The pod {podName} is missing the Istio proxy. Restarting or redeploying its workload often resolves this.",
        "A pod of an injected namespace has no sidecar.", "";
    SCHEMA_VALIDATION_ERROR = "IST0106" Error "SchemaValidationError", "Schema validation error: {err}",
        "The resource breaks a rule of its kind and would be refused.", "";
    MISPLACED_ANNOTATION = "IST0107" Warning "MisplacedAnnotation", "Misplaced annotation: {annotation} can only be applied to {kind}",
        "An annotation stands on a kind of resource where it means nothing.", "move it to the kind that reads it";
    UNKNOWN_ANNOTATION = "IST0108" Warning "UnknownAnnotation", "Unknown annotation: {annotation}",
        "No kind of resource has this annotation.", "check its spelling";
    CONFLICTING_MESH_GATEWAY_VIRTUAL_SERVICE_HOSTS = "IST0109" Error "ConflictingMeshGatewayVirtualServiceHosts",
        "The VirtualServices {virtualServices} associated with mesh gateway define the same host {host} which can lead to undefined behavior. Merge them into one.",
        "Two VirtualServices for the sidecars claim one host.", "merge their routes into one VirtualService, or use delegates";
    CONFLICTING_SIDECAR_WORKLOAD_SELECTORS = "IST0110" Error "ConflictingSidecarWorkloadSelectors",
        "The Sidecars {conflictingSidecars} in namespace {namespace:?} select the same workload pod {workloadPod:?}, which can lead to undefined behavior.",
        "Two Sidecars select one workload.", "keep one Sidecar for each workload";
    MULTIPLE_SIDECARS_WITHOUT_WORKLOAD_SELECTORS = "IST0111" Error "MultipleSidecarsWithoutWorkloadSelectors",
        "The Sidecars {conflictingSidecars} in namespace {namespace:?} have no workload selector, which can lead to undefined behavior.",
        "A namespace has several default Sidecars.", "keep one without a workloadSelector";
    VIRTUAL_SERVICE_DESTINATION_PORT_SELECTOR_REQUIRED = "IST0112" Error "VirtualServiceDestinationPortSelectorRequired",
        "This VirtualService routes to a service {destHost:?} that exposes multiple ports {destPorts}. The destination must say which port it means.",
        "A destination without a port leads to a service with several.", "add `port: {number: …}` to the destination";
    DEPLOYMENT_ASSOCIATED_TO_MULTIPLE_SERVICES = "IST0116" Warning "DeploymentAssociatedToMultipleServices",
        "This deployment {deployment} is associated with multiple services using port {port} but different protocols: {services}",
        "Services that share pods disagree about a port's protocol.", "give the port the same protocol in each service";
    PORT_NAME_IS_NOT_UNDER_NAMING_CONVENTION = "IST0118" Info "PortNameIsNotUnderNamingConvention",
        "Port name {portName} (port: {port}, targetPort: {targetPort}) doesn't follow the naming convention of Istio port.",
        "A port's name tells no protocol, so it is found out from the first bytes.", "name it <protocol>[-<suffix>], such as http-web, or set appProtocol";
    NAMESPACE_MULTIPLE_INJECTION_LABELS = "IST0123" Warning "NamespaceMultipleInjectionLabels",
        "The namespace has more than one type of injection labels {labels}, which may lead to undefined behavior. Keep one of them.",
        "A namespace has several injection labels.", "";
    INVALID_ANNOTATION = "IST0125" Warning "InvalidAnnotation", "Invalid annotation {annotation}: {problem}",
        "An annotation's value cannot be used.", "";
    UNKNOWN_MESH_NETWORKS_SERVICE_REGISTRY = "IST0126" Error "UnknownMeshNetworksServiceRegistry", "Unknown service registry {serviceregistry} in network {network}",
        "A mesh network names a cluster that is not there.", "";
    NO_MATCHING_WORKLOADS_FOUND = "IST0127" Warning "NoMatchingWorkloadsFound", "No matching workloads for this resource with the following labels: {labels}",
        "A selector selects nothing.", "compare the labels with those of the pods in the namespace";
    NO_SERVER_CERTIFICATE_VERIFICATION_DESTINATION_LEVEL = "IST0128" Warning "NoServerCertificateVerificationDestinationLevel",
        "DestinationRule {destinationrule} in namespace {namespace} has TLS mode set to {mode} but no caCertificates are set to validate server identity for host: {host}",
        "TLS is started without anything to verify the server with.", "set caCertificates (or credentialName) in trafficPolicy.tls";
    NO_SERVER_CERTIFICATE_VERIFICATION_PORT_LEVEL = "IST0129" Warning "NoServerCertificateVerificationPortLevel",
        "DestinationRule {destinationrule} in namespace {namespace} has TLS mode set to {mode} but no caCertificates are set to validate server identity for host: {host} at port {port}",
        "TLS to a port is started without anything to verify the server with.", "set caCertificates (or credentialName) in the port's tls";
    VIRTUAL_SERVICE_UNREACHABLE_RULE = "IST0130" Warning "VirtualServiceUnreachableRule", "VirtualService rule {ruleno} not used ({reason}).",
        "An earlier rule takes everything that this one would match.", "put the narrower rule first";
    VIRTUAL_SERVICE_INEFFECTIVE_MATCH = "IST0131" Info "VirtualServiceIneffectiveMatch",
        "VirtualService rule {ruleno} match {matchno} is not used (duplicate/overlapping match in rule {dupno}).",
        "A match repeats one of an earlier rule.", "remove it, or put it before the rule that covers it";
    VIRTUAL_SERVICE_HOST_NOT_FOUND_IN_GATEWAY = "IST0132" Warning "VirtualServiceHostNotFoundInGateway",
        "one or more host {host} defined in VirtualService {virtualservice} not found in Gateway {gateway}.",
        "A VirtualService's host is not served by its gateway.", "add the host to a server of the Gateway, or remove it here";
    SCHEMA_WARNING = "IST0133" Warning "SchemaWarning", "Schema validation warning: {err}",
        "The resource is taken and probably not what is meant.", "";
    SERVICE_ENTRY_ADDRESSES_REQUIRED = "IST0134" Warning "ServiceEntryAddressesRequired", "ServiceEntry addresses are required for this protocol.",
        "Without an address of its own a TCP service cannot be told from others on the port.", "set spec.addresses, or give the port an HTTP or TLS protocol";
    DEPRECATED_ANNOTATION = "IST0135" Info "DeprecatedAnnotation", "Annotation {annotation:?} has been deprecated{extra} and may not work in future Istio versions.",
        "A deprecated annotation is used.", "";
    ALPHA_ANNOTATION = "IST0136" Info "AlphaAnnotation", "Annotation {annotation:?} is part of an alpha-phase feature and may be incompletely supported.",
        "An alpha annotation is used.", "";
    DEPLOYMENT_CONFLICTING_PORTS = "IST0137" Warning "DeploymentConflictingPorts",
        "This deployment {deployment} is associated with multiple services {services} using targetPort {targetPort:?} but different ports: {ports}.",
        "Services that share pods send different ports to one target port.", "";
    GATEWAY_DUPLICATE_CERTIFICATE = "IST0138" Warning "GatewayDuplicateCertificate",
        "Duplicate certificate in multiple gateways {gateways} may cause 404s if clients re-use HTTP2 connections.",
        "Several Gateways present one certificate.", "serve the hosts of one certificate from one Gateway";
    INVALID_WEBHOOK = "IST0139" Error "InvalidWebhook", "{error}",
        "A webhook is wrong or calls a control plane that is not there.", "";
    INGRESS_ROUTE_RULES_NOT_AFFECTED = "IST0140" Warning "IngressRouteRulesNotAffected",
        "Subset in virtual service {virtualservicesubset} has no effect on ingress gateway {virtualservice} requests",
        "A subset chosen for sidecars does not hold for what the gateway routes.", "choose the subset in the gateway's VirtualService too";
    INSUFFICIENT_PERMISSIONS = "IST0141" Error "InsufficientPermissions", "Missing required permission to create resource {resource} ({error})",
        "Permissions that an installation needs are missing.", "";
    UNSUPPORTED_KUBERNETES_VERSION = "IST0142" Error "UnsupportedKubernetesVersion", "The Kubernetes Version {version:?} is lower than the minimum version: {minimumVersion}",
        "The cluster is too old.", "";
    LOCALHOST_LISTENER = "IST0143" Error "LocalhostListener", "Port {port} is exposed in a Service but listens on localhost. It will not be exposed to other pods.",
        "An app listens where only its own pod can reach it.", "";
    INVALID_APPLICATION_UID = "IST0144" Warning "InvalidApplicationUID", "User ID (UID) 1337 is reserved for the sidecar proxy.",
        "An app runs as the proxy's user, so its traffic passes by the proxy.", "run it as another user";
    CONFLICTING_GATEWAYS = "IST0145" Error "ConflictingGateways", "Conflict with gateways {gateway} (workload selector {selector}, port {portnumber}, hosts {hosts}).",
        "Two Gateways claim the same host on the same port of the same workloads.", "merge their servers into one Gateway";
    IMAGE_AUTO_WITHOUT_INJECTION_WARNING = "IST0146" Warning "ImageAutoWithoutInjectionWarning",
        "{resourceType} {resourceName} contains `image: auto` but does not match any Istio injection webhook selectors.",
        "Pods of a workload wait for an injection that does not come.", "";
    IMAGE_AUTO_WITHOUT_INJECTION_ERROR = "IST0147" Error "ImageAutoWithoutInjectionError",
        "{resourceType} {resourceName} contains `image: auto` but does not match any Istio injection webhook selectors.",
        "A pod waits for an injection that does not come.", "";
    NAMESPACE_INJECTION_ENABLED_BY_DEFAULT = "IST0148" Info "NamespaceInjectionEnabledByDefault",
        "is enabled for Istio injection, as Istio is installed with enableNamespacesByDefault as true.",
        "A namespace without a label is injected by default.", "";
    JWT_CLAIM_BASED_ROUTING_WITHOUT_REQUEST_AUTHN = "IST0149" Error "JwtClaimBasedRoutingWithoutRequestAuthN",
        "The virtual service uses the JWT claim based routing (key: {key}) but found no request authentication for the gateway ({gateway}) pod ({pod}). Without one the token is not validated and has no claims to route by.",
        "A route asks for a claim that nothing reads.", "add a RequestAuthentication that selects the gateway's pods";
    EXTERNAL_NAME_SERVICE_TYPE_INVALID_PORT_NAME = "IST0150" Warning "ExternalNameServiceTypeInvalidPortName",
        "Port name for ExternalName service is invalid. The proxy may keep tcp-named ports, and unmatched traffic of ports serving TCP, from being forwarded correctly",
        "An ExternalName service's port is TCP or tells no protocol.", "name the port by its real protocol";
    ENVOY_FILTER_USES_RELATIVE_OPERATION = "IST0151" Warning "EnvoyFilterUsesRelativeOperation",
        "This EnvoyFilter does not have a priority and has a relative patch operation set which can cause the EnvoyFilter not to be applied. Use INSERT_FIRST or ADD, or set a priority.",
        "Whether a patch is applied depends on the order of EnvoyFilters.", "";
    ENVOY_FILTER_USES_REPLACE_OPERATION_INCORRECTLY = "IST0152" Error "EnvoyFilterUsesReplaceOperationIncorrectly",
        "The REPLACE operation is only valid for HTTP_FILTER and NETWORK_FILTER.", "A patch replaces what cannot be replaced.", "";
    ENVOY_FILTER_USES_ADD_OPERATION_INCORRECTLY = "IST0153" Error "EnvoyFilterUsesAddOperationIncorrectly",
        "The ADD operation will be ignored when applyTo is set to ROUTE_CONFIGURATION, or HTTP_ROUTE.", "A patch adds what cannot be added.", "";
    ENVOY_FILTER_USES_REMOVE_OPERATION_INCORRECTLY = "IST0154" Error "EnvoyFilterUsesRemoveOperationIncorrectly",
        "The REMOVE operation will be ignored when applyTo is set to ROUTE_CONFIGURATION, or HTTP_ROUTE.", "A patch removes what cannot be removed.", "";
    ENVOY_FILTER_USES_RELATIVE_OPERATION_WITH_PROXY_VERSION = "IST0155" Warning "EnvoyFilterUsesRelativeOperationWithProxyVersion",
        "This EnvoyFilter does not have a priority and has a relative patch operation (INSERT_BEFORE/AFTER, REPLACE, MERGE, DELETE) and proxyVersion set which can cause the EnvoyFilter not to be applied during an upgrade. Use INSERT_FIRST or ADD, or set a priority.",
        "During an upgrade the order of EnvoyFilters changes.", "";
    UNSUPPORTED_GATEWAY_API_VERSION = "IST0156" Error "UnsupportedGatewayAPIVersion", "The Gateway API CRD version {version} is lower than the minimum version: {minimumVersion}",
        "The Gateway API's CRDs are too old.", "";
    INVALID_TELEMETRY_PROVIDER = "IST0157" Warning "InvalidTelemetryProvider", "The Telemetry {name} in namespace {namespace:?} with empty providers will be ignored.",
        "A Telemetry names no provider and there is no default one.", "";
    PODS_ISTIO_PROXY_IMAGE_MISMATCH_IN_NAMESPACE = "IST0158" Warning "PodsIstioProxyImageMismatchInNamespace",
        "The Istio proxy images of the pods running in the namespace do not match the image defined in the injection configuration (pod names: {podNames}). Redeploying the pods after an upgrade fixes this.",
        "Pods run another proxy than would be injected today.", "";
    CONFLICTING_TELEMETRY_WORKLOAD_SELECTORS = "IST0159" Error "ConflictingTelemetryWorkloadSelectors",
        "The Telemetries {conflictingTelemetries} in namespace {namespace:?} select the same workload pod {workloadPod:?}, which can lead to undefined behavior.",
        "Two Telemetries select one workload.", "keep one Telemetry for each workload";
    MULTIPLE_TELEMETRIES_WITHOUT_WORKLOAD_SELECTORS = "IST0160" Error "MultipleTelemetriesWithoutWorkloadSelectors",
        "The Telemetries {conflictingTelemetries} in namespace {namespace:?} have no workload selector, which can lead to undefined behavior.",
        "A namespace has several default Telemetries.", "keep one without a selector";
    INVALID_GATEWAY_CREDENTIAL = "IST0161" Error "InvalidGatewayCredential",
        "The credential referenced by the Gateway {gatewayName} in namespace {gatewayNamespace} is invalid, which can cause the traffic not to work as expected.",
        "A Gateway's certificate or key cannot be used.", "check that the Secret holds a PEM certificate, its key, and that it has not expired";
    GATEWAY_PORT_NOT_DEFINED_ON_SERVICE = "IST0162" Warning "GatewayPortNotDefinedOnService",
        "The gateway is listening on a target port (port {port}) that is not defined in the Service associated with its workload instances (Pod selector {selector}). It will not be available through that Service.",
        "A Gateway's port is not open on the gateway's Service.", "add the port to the gateway's Service, or use one that it has";
    INVALID_EXTERNAL_CONTROL_PLANE_CONFIG = "IST0163" Warning "InvalidExternalControlPlaneConfig",
        "The hostname ({hostname}) that was provided for the webhook ({webhook}) to reach the ingress gateway on the external control plane cluster {msg}. Traffic may not flow properly.",
        "A webhook's address does not lead to the external control plane.", "";
    EXTERNAL_CONTROL_PLANE_ADDRESS_IS_NOT_A_HOSTNAME = "IST0164" Info "ExternalControlPlaneAddressIsNotAHostname",
        "The address ({hostname}) that was provided for the webhook ({webhook}) to reach the ingress gateway on the external control plane cluster is an IP address. This is not recommended for a production environment.",
        "A webhook's address is an IP address.", "";
    REFERENCED_INTERNAL_GATEWAY = "IST0165" Warning "ReferencedInternalGateway", "Gateway reference in VirtualService {virtualservice} is to an implementation-generated internal Gateway: {gateway}.",
        "A VirtualService names a Gateway that is generated from the Gateway API.", "use an HTTPRoute that attaches to the Gateway API Gateway";
    INEFFECTIVE_SELECTOR = "IST0166" Warning "IneffectiveSelector", "Ineffective selector on Kubernetes Gateway {gateway}. Use the TargetRef field instead.",
        "A selector does not reach a Gateway API Gateway.", "";
    INEFFECTIVE_POLICY = "IST0167" Warning "IneffectivePolicy", "The policy has no impact: {reason}.",
        "A policy has no effect where it is.", "";
    UNKNOWN_UPGRADE_COMPATIBILITY = "IST0168" Warning "UnknownUpgradeCompatibility",
        "The configuration {field:?} changed in release {release}, but compatibility cannot be automatically detected: {info}. Or, install with `--set compatibilityVersion={compatVersion}` to retain the old default.",
        "An upgrade changes a default; whether that matters here is unknown.", "";
    UPDATE_INCOMPATIBILITY = "IST0169" Warning "UpdateIncompatibility",
        "The configuration {field:?} changed in release {release}: {info}. Or, install with `--set compatibilityVersion={compatVersion}` to retain the old default.",
        "An upgrade changes a default that matters here.", "";
    MULTI_CLUSTER_INCONSISTENT_SERVICE = "IST0170" Warning "MultiClusterInconsistentService",
        "The service {serviceName} in namespace {namespace:?} is inconsistent across clusters {clusters:?}, which can lead to undefined behaviors. The inconsistent behaviors are: {error}.",
        "Clusters disagree about one service.", "";
    NEGATIVE_CONDITION_STATUS = "IST0171" Warning "NegativeConditionStatus",
        "A condition with a negative status is present: type={conditionType}, reason={reason}, message={message}.",
        "A controller says that the object does not work.", "";
    FUTURE_UNSUPPORTED_GATEWAY_API_VERSION = "IST0172" Warning "FutureUnsupportedGatewayAPIVersion",
        "The Gateway API CRD version {version} is lower than the minimum version: {minimumVersion}",
        "The Gateway API's CRDs will soon be too old.", "";
    DESTINATION_RULE_SUBSET_NOT_SELECT_PODS = "IST0173" Error "DestinationRuleSubsetNotSelectPods",
        "The Subset {subset} defined in the DestinationRule does not select any pods. Which may lead to 503 UH (NoHealthyUpstream).",
        "A subset's labels select none of the service's pods.", "compare the subset's labels with those of the pods";
    UNKNOWN_DESTINATION_RULE_HOST = "IST0174" Warning "UnknownDestinationRuleHost",
        "The host {host} defined in the DestinationRule does not match any services in the mesh.",
        "A DestinationRule is for a host that nobody serves.", "correct the host, or add the Service or ServiceEntry";
    JWKS_URI_FETCH_UNRESTRICTED = "IST0175" Warning "JwksUriFetchUnrestricted",
        "BLOCKED_CIDRS_IN_JWKS_URIS is not configured but {count} RequestAuthentication resource(s) exist ({names}). Set it to keep JWKS fetches to trusted networks.",
        "The control plane would fetch keys from any address that a RequestAuthentication names.", "";
    GATEWAY_API_CRD_VERSION_BELOW_MINIMUM = "IST0176" Warning "GatewayAPICRDVersionBelowMinimum",
        "Gateway API CRD {crd:?} is at version {installedVersion:?} but Istio requires at least {minimumVersion:?}; resources of this kind will not be processed. Upgrade the Gateway API CRDs.",
        "One of the Gateway API's CRDs is too old.", "";
    CONFLICTING_SERVICE_ENTRY_PROTOCOL = "IST0177" Warning "ConflictingServiceEntryProtocol",
        "Multiple ServiceEntries ({serviceEntryNames}) define the same host {host:?} and port {port} with conflicting protocols ({protocols}).",
        "ServiceEntries disagree about a port's protocol.", "give the port the same protocol in each";
}
