{#- Written by `make dbt-models` from the tap's schemas. Do not edit. -#}
{{ config(enabled=dbt_fullstory_imports.is_loaded('user_import_jobs')) }}
{%- set columns = dbt_fullstory_imports.raw_columns(source('fullstory_imports', 'user_import_jobs')) %}

select
    {{ dbt_fullstory_imports.raw_field(columns, ['job_id'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['status'], 'str') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['created_at'], 'date') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['finished_at'], 'date') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['imported_users'], 'int') }},
    {{ dbt_fullstory_imports.raw_field(columns, ['failed_users'], 'int') }}
from {{ source('fullstory_imports', 'user_import_jobs') }}
