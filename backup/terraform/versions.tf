terraform {
  required_version = ">= 1.6"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.25" # its arguments were compared with the bindings of 6.25.0
    }
  }
}

provider "aws" {
  region = var.region
}

# The metric AWS/Billing EstimatedCharges exists in us-east-1 alone; alarm and topic have to be where it is.
provider "aws" {
  alias  = "billing"
  region = "us-east-1"
}

data "aws_caller_identity" "current" {}
