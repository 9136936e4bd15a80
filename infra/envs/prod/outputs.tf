output "airflow" {
  description = "What workflows and runbooks ask for."
  value       = module.airflow
}
