output "bucket" {
  description = "vault.bucket of backup.toml"
  value       = aws_s3_bucket.vault.id
}

output "region" {
  description = "vault.region of backup.toml"
  value       = var.region
}

output "users" {
  description = "Make an access key for each by hand; the restorer's only when something is restored."
  value       = { for name, user in aws_iam_user.identity : name => user.name }
}

output "collector_role_arn" {
  description = "role_arn of the profile with which vault gc runs, elsewhere, with a second factor"
  value       = aws_iam_role.collector.arn
}

output "topic_arn" {
  description = "Where the alarm goes. Its e-mail subscription must be confirmed."
  value       = aws_sns_topic.billing.arn
}
